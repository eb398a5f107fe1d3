"""Which lock a machine gets, from facts about machines; and what a declaration must have."""

import json
from pathlib import Path

import pytest

from components.errors import ConfigError, MissingExtraError
from components.training.core.environment_choice import (
    Machine,
    choose,
    choose_here,
    environment_file,
    read_environment,
    this_machine,
)

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def tfx():
    return read_environment("tfx", ROOT)


@pytest.mark.parametrize(
    ("machine", "lock"),
    [
        (Machine("Linux", "x86_64", "2.36"), "tfx-1.16"),
        (Machine("Linux", "x86_64", "2.17"), "tfx-1.16"),
        (Machine("Linux", "x86_64", "2.39"), "tfx-1.16"),
        (Machine("Linux", "x86_64", "3.0"), "tfx-1.16"),
        (Machine("Darwin", "arm64", "15.5"), "tfx-1.21"),
        (Machine("Darwin", "x86_64", "13.6.1"), "tfx-1.16"),
    ],
)
def test_machine_gets_the_first_lock_that_it_can_have(tfx, machine, lock):
    assert choose("tfx", tfx, machine).name == lock


@pytest.mark.parametrize(
    "machine",
    [
        Machine("Linux", "x86_64", "2.12"),
        Machine("Linux", "x86_64", ""),  # musl
        Machine("Linux", "aarch64", "2.41"),
        Machine("Darwin", "arm64", "11.7"),
        Machine("Windows", "AMD64", ""),
    ],
)
def test_machine_that_can_have_none_is_told_what_each_needs(tfx, machine):
    with pytest.raises(MissingExtraError) as caught:
        choose("tfx", tfx, machine)

    message = str(caught.value)
    assert str(machine) in message
    assert "tfx-1.21 needs Linux x86_64 with glibc 2.39 or later" in message
    assert "tfx-1.16 needs Linux x86_64 with glibc 2.17 or later" in message


def test_user_may_ask_for_a_lock_by_name(tfx, monkeypatch):
    assert choose("tfx", tfx, Machine("Linux", "x86_64", "2.39"), "tfx-1.21").name == "tfx-1.21"
    monkeypatch.setenv("TOWPATH_LOCK_TFX", "tfx-9")
    with pytest.raises(ConfigError, match=r"TOWPATH_LOCK_TFX is 'tfx-9'; .* locks tfx-1\.16, tfx-1\.21"):
        choose_here("tfx", tfx)


def test_lock_that_is_asked_for_and_cannot_be_had_is_refused(tfx):
    with pytest.raises(MissingExtraError, match=r"cannot be installed on this machine .*: tfx-1\.21 needs"):
        choose("tfx", tfx, Machine("Linux", "x86_64", "2.36"), "tfx-1.21")


def test_this_machine_says_what_it_is():
    machine = this_machine()

    assert machine.system
    assert machine.machine
    assert machine.version or machine.system not in ("Linux", "Darwin")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "No such file"),
        ("{", "Expecting property name"),
        ('{"title": "Echo"}', "field 'choices' is missing"),
        (json.dumps({"titel": "Echo"}), "unknown field 'titel'"),
    ],
)
def test_declaration_that_is_none_is_refused_in_one_sentence(tmp_path, text, words):
    path = tmp_path / environment_file("echo")
    path.parent.mkdir(parents=True)
    if text is not None:
        path.write_text(text)

    with pytest.raises(ConfigError) as caught:
        read_environment("echo", tmp_path)

    assert "environment.json does not declare the environment of kind `echo`" in str(caught.value)
    assert words in str(caught.value)
