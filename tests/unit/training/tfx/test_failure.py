"""A component that died: its name, the user's own line, and the log, in one sentence."""

from pathlib import Path

import pytest

from components.errors import TrainingError
from components.training.tfx.failure import component_failure

USER_FILE = Path("components/models/tfx/taxi.py")
LOG = Path("reports/taxi/tfx/taxi-tfx.log")


@pytest.fixture
def fail(tmp_path):
    """Return the error for what a module of the user's raises."""

    def run(source, wrap=None):
        path = tmp_path / USER_FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
        scope = {}
        exec(compile(source, str(path), "exec"), scope)
        try:
            try:
                scope["preprocessing_fn"]({})
            except Exception as error:
                if wrap is None:
                    raise
                raise RuntimeError(wrap) from error
        except Exception as error:
            return component_failure(error, "Transform", "taxi-tfx", USER_FILE, LOG)

    return run


def test_sentence_names_component_line_error_and_log(fail):
    error = fail("def preprocessing_fn(inputs):\n    fare = 1\n    return inputs['fare']\n")

    assert isinstance(error, TrainingError)
    assert str(error) == (
        "training taxi-tfx: component Transform failed in components/models/tfx/taxi.py, line 3: KeyError: 'fare'; "
        "the whole log is reports/taxi/tfx/taxi-tfx.log"
    )


def test_innermost_line_of_the_users_file_is_named(fail):
    error = fail("def scale(value):\n    return 1 / value\n\ndef preprocessing_fn(inputs):\n    return scale(0)\n")

    assert "line 2: ZeroDivisionError" in str(error)


def test_line_is_found_behind_the_runners_own_error(fail):
    error = fail("def preprocessing_fn(inputs):\n    raise ValueError('no')\n", wrap="while running 'Analyze'")

    assert "taxi.py, line 2: RuntimeError: while running 'Analyze'" in str(error)


def test_line_is_found_in_the_words_of_a_traced_function():
    words = (
        'in user code:\n\n    File "/home/ann/taxi/components/models/tfx/taxi.py", line 12, in preprocessing_fn  *\n'
        "        fare = tf.reshape(inputs['fare'], [0])\n\n    ValueError: Cannot reshape a tensor\n"
    )

    error = component_failure(ValueError(words), "Transform", "taxi-tfx", USER_FILE, LOG)

    assert "taxi.py, line 12: ValueError: Cannot reshape a tensor; the whole log" in str(error)


def test_error_from_elsewhere_names_no_line_and_is_cut():
    error = component_failure(OSError("disk " * 200), "StatisticsGen", "taxi-tfx", USER_FILE, LOG)

    assert "component StatisticsGen failed: OSError: disk" in str(error)
    assert "line" not in str(error)
    assert len(str(error)) < 500
