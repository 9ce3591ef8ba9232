"""The kinds of step that a package may use, driven by hand; what goes to a shell is run by this machine's own."""

import os
import shlex
import stat
from pathlib import Path
from typing import Any

import pytest
from builders import drive, shell, site
from hypothesis import given
from hypothesis import strategies as st

from plans.actions import Ask, At, Outcome, Restart, Shell
from plans.site import OK, Site
from plans.steps import Copy, FromTo, Manual, Reboot, Run, Script

ODD = [
    "plain",
    "two words",
    "it's",
    '"quoted"',
    "$HOME",
    "$(touch x)",
    "`id`",
    "-rf",
    "*",
    "a;b",
    "a\nb",
    "ü",
    "\\",
    "#x",
]


def sent(step: Any, where: Site) -> Shell:
    (action,), _ = drive(step, where)
    assert isinstance(action, Shell)
    return action


class TestRun:
    def test_starts_in_the_package_with_what_a_step_is_told(self) -> None:
        action = sent(Run(name="x", on="web", run="./shopctl stop", timeout="5m"), site(in_package=True))
        assert action == Shell(
            at=At("staging", "web"),
            command="./shopctl stop",
            cwd="/var/tmp/quarterdeck/abc/7-package-web",
            env={
                "QUARTERDECK_RELEASE": "R-1",
                "QUARTERDECK_VERSION": "2.4.1",
                "QUARTERDECK_RUN": "7",
                "QUARTERDECK_ENVIRONMENT": "staging",
                "QUARTERDECK_PACKAGE": "/var/tmp/quarterdeck/abc/7-package-web",
            },
            timeout=300.0,
        )

    def test_a_step_of_the_admins_starts_in_the_login_directory_without_a_package(self) -> None:
        action = sent(Run(name="x", on="web", run="true"), site())
        assert action.cwd is None
        assert "QUARTERDECK_PACKAGE" not in action.env
        assert action.timeout == 600.0

    @pytest.mark.parametrize(
        ("production", "in_package", "asks"), [(True, True, True), (True, False, False), (False, True, False)]
    )
    def test_only_a_packages_step_on_prod_asks_before_it_is_stopped(
        self, production: bool, in_package: bool, asks: bool
    ) -> None:
        where = site(production=production, in_package=in_package)
        assert sent(Run(name="x", on="web", run="true"), where).ask_when_overdue is asks

    def test_a_relative_package_is_told_as_an_absolute_one(self, tmp_path: Path) -> None:
        where = site(base="work/abc", in_package=True)
        package = tmp_path / where.package
        package.mkdir(parents=True)
        action = sent(Run(name="x", on="web", run='cd / && echo "$QUARTERDECK_PACKAGE"'), where)
        assert shell(f"export QUARTERDECK_PACKAGE=x\n{action.command}", tmp_path, cwd=package).stdout == f"{package}\n"

    @pytest.mark.parametrize("outcome", [Outcome("ok", exit=0), Outcome("failed", exit=3), Outcome("errored")])
    def test_ends_as_the_command_did(self, outcome: Outcome) -> None:
        assert drive(Run(name="x", on="web", run="true"), site(), outcome)[1] == outcome

    @pytest.mark.parametrize(
        "wrong",
        [{"name": " ", "on": "web"}, {"name": "x"}, {"name": "x", "on": ""}, {"name": "x", "on": "web", "serial": -1}],
    )
    def test_a_step_says_its_name_and_its_hosts(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=r"name|on:|serial"):
            Run(run="true", **wrong)


class TestScript:
    def ran(self, folder: Path, name: str, *args: str) -> list[str]:
        script = folder / "package" / name
        script.parent.mkdir(parents=True, exist_ok=True)
        script.write_text("#!/bin/sh\nprintf '%s\\0' \"$@\"\n")
        script.chmod(0o755)
        action = sent(Script(name="x", on="db", script=name, args=args), site())
        done = shell(action.command, folder, cwd=folder / "package")
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.split("\0")[:-1]

    @pytest.mark.parametrize("arg", ODD)
    def test_its_arguments_reach_it_as_they_are(self, tmp_path: Path, arg: str) -> None:
        assert self.ran(tmp_path, "scripts/001.sh", arg, "", "last") == [arg, "", "last"]
        assert [path.name for path in tmp_path.rglob("x")] == []

    @pytest.mark.parametrize("name", ["-x.sh", "two words.sh", "it's $(touch x).sh", "deep/er/`id`;.sh"])
    def test_whatever_it_is_called(self, tmp_path: Path, name: str) -> None:
        assert self.ran(tmp_path, name, "one") == ["one"]
        assert not (tmp_path / "package" / "x").exists()

    @given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), max_size=4))
    def test_no_argument_means_anything_to_the_shell(self, args: list[str]) -> None:
        command = sent(Script(name="x", on="db", script="s.sh", args=tuple(args)), site()).command
        assert shlex.split(command) == ["exec", "./s.sh", *args]


class TestCopy:
    @pytest.fixture
    def package(self, tmp_path: Path) -> Path:
        app = tmp_path / "package" / "files" / "app"
        (app / "static").mkdir(parents=True)
        (app / "index.html").write_text("new")
        (app / "static" / "logo").write_bytes(b"\0\xff")
        (app / "run").write_text("#!/bin/sh\n")
        (app / "run").chmod(0o755)
        return tmp_path / "package"

    def copy(self, package: Path, from_: str, to: str) -> tuple[int, list[str], str]:
        action = sent(Copy(name="x", on="web", copy=FromTo(from_=from_, to=to)), site())
        done = shell(action.command, package.parent, cwd=package)
        return done.returncode, sorted(done.stdout.splitlines()), done.stderr

    def files(self, folder: Path) -> dict[str, bytes]:
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    WHOLE = ("index.html", "run", "static/logo")

    @pytest.mark.parametrize("slash", ["", "/"])
    @pytest.mark.parametrize("there", [True, False])
    def test_the_contents_of_a_folder_go_into_a_folder(
        self, package: Path, tmp_path: Path, slash: str, there: bool
    ) -> None:
        to = tmp_path / "srv" / "web shop"
        if there:
            to.mkdir(parents=True)
            (to / "index.html").write_text("old")
            (to / "orders.db").write_text("precious")
        code, listed, said = self.copy(package, "files/app/", f"{to}{slash}")
        assert (code, said) == (0, "")
        assert listed == sorted(f"{to}/{name}" for name in self.WHOLE)
        expected = self.files(package / "files" / "app") | ({"orders.db": b"precious"} if there else {})
        assert self.files(to) == expected

    def test_a_file_goes_onto_a_file(self, package: Path, tmp_path: Path) -> None:
        to = tmp_path / "made" / "on the way" / "page.html"
        assert self.copy(package, "files/app/index.html", str(to)) == (0, [str(to)], "")
        assert to.read_text() == "new"

    @pytest.mark.parametrize("there", [True, False])
    def test_a_file_goes_into_a_folder_that_ends_in_a_slash(self, package: Path, tmp_path: Path, there: bool) -> None:
        to = tmp_path / "srv"
        if there:
            to.mkdir()
        assert self.copy(package, "files/app/index.html", f"{to}/") == (0, [f"{to}/index.html"], "")
        assert self.files(to) == {"index.html": b"new"}

    def test_a_file_is_not_put_where_a_folder_is(self, package: Path, tmp_path: Path) -> None:
        to = tmp_path / "srv"
        to.mkdir()
        code, _, said = self.copy(package, "files/app/index.html", str(to))
        assert code != 0
        assert said == f"{to} is a folder: to put a file into it, write {to}/\n"
        assert self.files(to) == {}

    def test_a_relative_place_is_relative_to_the_login_directory(self, package: Path, tmp_path: Path) -> None:
        assert self.copy(package, "files/app/", "shop")[0] == 0
        assert set(self.files(tmp_path / "shop")) == set(self.WHOLE)

    def test_the_executable_bit_is_kept_and_given(self, package: Path, tmp_path: Path) -> None:
        to = tmp_path / "srv"
        to.mkdir()
        (to / "run").write_text("old")
        (to / "run").chmod(0o644)
        assert self.copy(package, "files/app/", str(to))[0] == 0
        assert os.access(to / "run", os.X_OK)
        assert not os.access(to / "index.html", os.X_OK)

    @pytest.mark.parametrize("name", ["-rf", "two  words ", "it's", "$(touch x)", "a\nb", "*", "\\", "-n", "%s", "ü"])
    def test_odd_names_arrive_as_they_are(self, package: Path, tmp_path: Path, name: str) -> None:
        app = package / "files" / "app"
        (app / name).write_text("odd")
        (app / "static" / f"{name}d").mkdir()
        (app / "static" / f"{name}d" / name).write_text("odder")
        to = tmp_path / "srv" / name
        assert self.copy(package, "files/app/", str(to))[0] == 0
        assert self.files(to) == self.files(app)
        alone = tmp_path / "alone" / name
        assert self.copy(package, f"files/app/{name}", f"{alone}/")[0] == 0
        assert self.files(alone) == {name: b"odd"}
        assert not (package / "x").exists()

    def test_what_is_beside_a_name_that_begins_alike_stays_out(self, package: Path, tmp_path: Path) -> None:
        (package / "files" / "app2").mkdir()
        (package / "files" / "app2" / "other").write_text("no")
        assert self.copy(package, "files/app", str(tmp_path / "srv"))[0] == 0
        assert set(self.files(tmp_path / "srv")) == set(self.WHOLE)

    def test_what_is_not_in_the_package_is_an_error(self, package: Path, tmp_path: Path) -> None:
        assert self.copy(package, "files/nothing", str(tmp_path / "srv"))[0] != 0
        assert not (tmp_path / "srv").exists()

    def test_a_write_that_fails_leaves_the_old_file(self, package: Path, tmp_path: Path) -> None:
        to = tmp_path / "srv"
        (to / "index.html.quarterdeck-new").mkdir(parents=True)
        (to / "index.html").write_text("old")
        code, _, said = self.copy(package, "files/app/index.html", f"{to}/")
        assert code != 0
        assert said
        assert (to / "index.html").read_text() == "old"

    def test_what_an_interrupted_attempt_left_is_written_over_and_not_through(
        self, package: Path, tmp_path: Path
    ) -> None:
        to = tmp_path / "srv"
        to.mkdir()
        (to / "elsewhere").write_text("untouched")
        (to / "index.html.quarterdeck-new").symlink_to(to / "elsewhere")
        (to / "run.quarterdeck-new").write_text("hal")
        assert self.copy(package, "files/app/", str(to))[0] == 0
        assert self.files(to) == self.files(package / "files" / "app") | {"elsewhere": b"untouched"}

    def test_a_link_in_the_place_is_replaced_and_what_it_led_to_is_left(self, package: Path, tmp_path: Path) -> None:
        to = tmp_path / "srv"
        to.mkdir()
        (tmp_path / "release-1").write_text("old")
        (to / "index.html").symlink_to(tmp_path / "release-1")
        assert self.copy(package, "files/app/index.html", f"{to}/")[0] == 0
        assert stat.S_ISREG((to / "index.html").lstat().st_mode)
        assert (tmp_path / "release-1").read_text() == "old"

    @pytest.mark.parametrize(("from_", "to"), [("", "/srv"), ("files/", "")])
    def test_both_ends_are_wanted(self, from_: str, to: str) -> None:
        with pytest.raises(ValueError, match="both are wanted"):
            FromTo(from_=from_, to=to)


class TestReboot:
    def test_is_asked_for_once_with_its_time(self) -> None:
        asked, ended = drive(Reboot(name="x", on="web", reboot=True, timeout="2m"), site())
        assert asked == [Restart(At("staging", "web"), 120.0)]
        assert ended.ok


class TestManual:
    STEP = Manual(name="Tell them", manual="Phone the call centre.")

    @pytest.mark.parametrize(
        ("answer", "expected"),
        [
            (Outcome("ok", value="done"), OK),
            (Outcome("ok", value="done_with_help"), OK),
            (Outcome("ok", value="failed", reason="nobody there"), Outcome("failed", reason="nobody there")),
            (Outcome("ok", value="failed"), Outcome("failed", reason="said to have failed")),
        ],
    )
    def test_an_admin_answers_for_it(self, answer: Outcome, expected: Outcome) -> None:
        asked, ended = drive(self.STEP, site(host=None), answer)
        assert asked == [Ask("Phone the call centre.", ("done", "done_with_help", "failed"), "admins")]
        assert ended == expected

    def test_a_stop_before_the_answer_does_not_make_it_done(self) -> None:
        stopped = Outcome("aborted", reason="stopped before it was answered")
        assert drive(self.STEP, site(host=None), stopped)[1] == stopped
