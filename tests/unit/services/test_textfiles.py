"""What files of figures become on one page."""

from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest

from pipelines.services.textfiles import TextFiles


def page(*folders: Path) -> str:
    registry = CollectorRegistry()
    registry.register(TextFiles(folders))
    return generate_latest(registry).decode()


def test_files_of_several_folders_share_one_family(tmp_path: Path) -> None:
    for number in ("1", "2"):
        (tmp_path / number / "deeper").mkdir(parents=True)
        path = tmp_path / number / "deeper" / "figures.prom"
        path.write_text(f'# HELP psi Drift.\n# TYPE psi gauge\npsi{{model="m{number}"}} {number}\n')
    shown = page(tmp_path / "1", tmp_path / "2")
    assert shown.count("# TYPE psi gauge") == 1
    assert 'psi{model="m1"} 1.0' in shown
    assert 'psi{model="m2"} 2.0' in shown
    assert "towpath_textfiles_unreadable 0.0" in shown


def test_a_file_that_holds_no_metrics_is_counted_and_hides_no_other(tmp_path: Path) -> None:
    (tmp_path / "a.prom").write_text("{not metrics")
    (tmp_path / "b.prom").write_text("psi 1\n")
    shown = page(tmp_path)
    assert "towpath_textfiles_unreadable 1.0" in shown
    assert "psi 1.0" in shown


def test_folders_that_do_not_exist_yet_are_no_error(tmp_path: Path) -> None:
    assert "towpath_textfiles_unreadable 0.0" in page(tmp_path / "nowhere")
