"""The facts that are ready-made: what an admin may write, and what the commands print where their tools are."""

import hashlib
import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any, get_args

import pytest

from plans.documents import load
from plans.errors import Refusal
from plans.facts import Collected, Fact, compare
from plans.windows_facts import COLLECTED

KINDS = tuple(kind for kind in get_args(Collected) if kind)
ABOUT: dict[str, dict[str, str]] = {
    "files": {"path": "/etc/web shop"},
    "sqlite": {"path": "it's/shop.db"},
    "postgresql": {"database": "shop's", "user": "postgres"},
    "mysql": {"database": "$(reboot)"},
    "sqlserver": {"database": "shop; drop"},
}


def fact(kind: str, **about: str) -> Fact:
    return Fact(name=kind, on="web", collect=kind, **(about or ABOUT.get(kind, {})))  # type: ignore[arg-type]


def ran(asked: Fact, **env: str) -> subprocess.CompletedProcess[str]:
    """What the command prints, in an environment of its own."""
    given = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")} | env
    words = ["/bin/sh", "-c", asked.spelled("sh").run]
    return subprocess.run(words, capture_output=True, text=True, env=given, timeout=120, check=False)


def lines(asked: Fact, **env: str) -> list[str]:
    done = ran(asked, **env)
    assert (done.returncode, done.stderr) == (0, "")
    again = ran(asked, **env)
    assert again.stdout == done.stdout
    return done.stdout.splitlines()


def needs(*tools: str) -> pytest.MarkDecorator:
    missing = [tool for tool in tools if shutil.which(tool) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} not here")


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("{name: a, on: web}", "exactly one of run and collect is wanted"),
        ("{name: a, on: web, run: x, collect: packages}", "exactly one of run and collect is wanted"),
        ("{name: a, on: web, collect: files}", "collect: files needs the path that it is about"),
        ("{name: a, on: db, collect: mysql}", "collect: mysql needs the database that it is about"),
        ("{name: a, on: db, collect: mysql, database: d, path: p}", "path has no meaning for collect: mysql"),
        ("{name: a, on: web, run: x, path: p}", "path has no meaning for run"),
        ("{name: a, on: web, collect: sudoers, user: root}", "user has no meaning for collect: sudoers"),
        ("{name: a, on: db, collect: mysql, database: d, user: a b}", "a b is not the name of a user"),
        ("{name: a, on: web, collect: package}", "found “package”"),
        ("{name: a, on: web, colect: packages}", "Did you mean collect?"),
    ],
)
def test_what_an_admin_may_not_write(written: str, says: str) -> None:
    with pytest.raises(Refusal) as caught:
        load(written.encode(), Fact, "quarterdeck.yaml")
    assert says in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_each_is_one_line_for_an_admin_and_a_command_for_a_host(kind: str) -> None:
    asked = fact(kind).spelled("sh")
    assert (asked.name, asked.collect, asked.path, asked.database) == (kind, "", "", "")
    read = subprocess.run(["/bin/sh", "-n"], input=asked.run, capture_output=True, text=True, check=False)
    assert (read.returncode, read.stderr) == (0, "")
    assert asked.spelled("sh") == asked


@pytest.mark.parametrize("kind", KINDS)
def test_windows_has_those_that_make_sense_there(kind: str) -> None:
    assert fact(kind).lacks("powershell") == (kind not in COLLECTED)
    assert not fact(kind).lacks("sh")
    if kind in COLLECTED:
        command = fact(kind).spelled("powershell").run
        assert "$ErrorActionPreference = 'Stop'" in command
        assert command.count("{") == command.count("}")
        assert command.count("(") == command.count(")")


def test_windows_takes_a_text_literally_whatever_its_quotes() -> None:
    command = fact("files", path="C:\\it's \u2019 $(calc)").spelled("powershell").run
    assert command.startswith("$path = 'C:\\it''s \u2019\u2019 $(calc)'\n")


def test_a_command_of_their_own_is_left_alone() -> None:
    own = Fact(name="schema", on="db", run="sqlite3 shop.db .schema")
    assert own.spelled("sh") is own
    assert not own.lacks("powershell")


# Each as it is collected where its tool is.


@needs("dpkg-query")
def test_packages_are_told_with_version_and_machine() -> None:
    found = lines(fact("packages"))
    assert found == sorted(found)
    assert any(line.split()[0] == "dpkg" and len(line.split()) == 3 for line in found)


def fakes(folder: Path, *keep: str, **scripts: str) -> str:
    """A PATH with those tools alone and with scripts of the test's own."""
    folder.mkdir()
    for tool in keep:
        (folder / tool).symlink_to(str(shutil.which(tool)))
    for name, text in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    return str(folder)


def test_packages_of_the_other_family(tmp_path: Path) -> None:
    path = fakes(tmp_path / "bin", "sort", rpm=r"printf 'zlib 0:1.2-3 x86_64\nbash 0:5.1-9 x86_64\n'")
    assert lines(fact("packages"), PATH=path) == ["bash 0:5.1-9 x86_64", "zlib 0:1.2-3 x86_64"]


SYSTEMCTL = """case $1 in
list-unit-files) printf '%s\\n' 'ssh.service enabled enabled' 'getty@.service enabled enabled' \\
  'rare.service static -' 'run-u1.service transient -' 'apt.timer enabled enabled' ;;
*) printf '%s\\n' 'ssh.service loaded active running The SSH server' 'getty@tty1.service loaded active running Getty' \\
  'rare.service loaded active running On demand' 'user@1000.service loaded active running User' ;;
esac"""


def test_services_are_those_that_start_at_boot_and_not_what_a_login_started(tmp_path: Path) -> None:
    path = fakes(tmp_path / "bin", "sort", "awk", systemctl=SYSTEMCTL)
    assert lines(fact("services"), PATH=path) == [
        "apt.timer enabled",
        "getty@.service enabled",
        "getty@tty1.service running",
        "rare.service static",
        "ssh.service enabled",
        "ssh.service running",
    ]


def test_files_are_told_by_digest_and_links_by_where_they_lead(tmp_path: Path) -> None:
    folder = tmp_path / "-it's here"
    (folder / "sub").mkdir(parents=True)
    (folder / "a b").write_text("x")
    (folder / "sub/run").write_text("")
    (folder / "sub/run").chmod(0o755)
    (folder / "link").symlink_to("/etc/passwd")
    (tmp_path / "current").symlink_to(folder)
    for path in (folder, tmp_path / "current"):
        assert lines(fact("files", path=str(path))) == [
            f"{path}/a b 2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",
            f"{path}/link -> /etc/passwd",
            f"{path}/sub/run e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            f"{path}/sub/run is executable",
        ]


def test_values_are_told_by_four_digits_and_never_themselves(tmp_path: Path) -> None:
    found = lines(fact("environment"), SHOP_KEY="hunter2\nFAKE=1", SHOP_ENV="", SSH_CLIENT="10.0.0.1 1 2")
    told = hashlib.sha256(b"hunter2\nFAKE=1").hexdigest()[:4]
    assert {f"SHOP_KEY {told}", "SHOP_ENV is empty"} <= set(found)
    assert not [line for line in found if line.startswith(("SSH_CLIENT", "FAKE")) or "hunter2" in line]
    (tmp_path / "shop.env").write_text("# KEY=no\nexport KEY=hunter2\n  NAME=x\nEMPTY=\n")
    assert lines(fact("environment", path=str(tmp_path / "shop.env"))) == ["EMPTY is empty", "KEY f52f", "NAME 2d71"]


def as_root(tmp_path: Path) -> str:
    """A PATH where sudo gives nothing, for the text of what root alone may read."""
    return fakes(tmp_path / "bin", id="case $1 in -u) echo 1000;; *) echo deploy;; esac", sudo="exit 1")


@pytest.mark.parametrize("kind", ["crontabs", "authorized_keys", "sudoers"])
def test_what_only_root_can_read_is_not_read_in_part(kind: str, tmp_path: Path) -> None:
    done = ran(fact(kind), PATH=as_root(tmp_path))
    assert done.returncode == 69
    assert done.stderr == "only root can read all of this: log in as root, or let deploy use sudo without a password\n"
    assert done.stdout == done.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="not root")
@pytest.mark.parametrize("kind", ["crontabs", "sudoers"])
def test_what_root_reads_are_lines_with_their_file_and_no_comments(kind: str) -> None:
    assert [line for line in lines(fact(kind)) if not line.startswith("/etc/") and not line.startswith("/var/")] == []


@pytest.mark.skipif(os.getuid() != 0, reason="not root")
def test_a_key_is_told_by_its_digest_with_its_options_and_comment(tmp_path: Path) -> None:
    (tmp_path / ".ssh").mkdir()
    blob = "AAAAC3NzaC1lZDI1NTE5AAAAIH4b7mH1V7b7mH1V7b7mH1V7b7mH1V7b7mH1V7b7mH1V"
    (tmp_path / ".ssh/authorized_keys").write_text(f'# ours\n\ncommand="x" ssh-ed25519 {blob} ops\n')
    tools = ("cat", "sed", "sort", "sha256sum", "id")
    path = fakes(tmp_path / "bin", *tools, getent=f"echo 'deploy:x:1000:1000::{tmp_path}:/bin/sh'")
    [line] = lines(fact("authorized_keys"), PATH=path)
    assert line.startswith('deploy: command="x" ssh-ed25519 ... ops (')
    assert blob not in line


def test_ports_are_the_same_lines_whichever_tool_tells_them(tmp_path: Path) -> None:
    ss = r"printf '%s\n' 'tcp LISTEN 0 5 0.0.0.0:22 0.0.0.0:*' 'tcp LISTEN 0 5 [::]:22 [::]:*' " + (
        r"'udp UNCONN 0 0 127.0.0.53%lo:53 0.0.0.0:*' 'udp UNCONN 0 0 0.0.0.0:40000 0.0.0.0:*' "
        r"'tcp LISTEN 0 5 10.9.0.11:5432 *:*' 'tcp LISTEN 0 5 [::ffff:127.0.0.1]:8005 *:*'"
    )
    netstat = r"printf '%s\n' 'Proto Recv-Q' 'tcp 0 0 0.0.0.0:22 0.0.0.0:* LISTEN' 'tcp6 0 0 :::22 :::* LISTEN' " + (
        r"'udp 0 0 127.0.0.53:53 0.0.0.0:*' 'tcp 0 0 10.9.0.11:5432 0.0.0.0:* LISTEN' "
        r"'tcp6 0 0 ::ffff:127.0.0.1:8005 :::* LISTEN'"
    )
    wanted = ["tcp 22 everywhere", "tcp 5432 one address", "tcp 8005 loopback", "udp 53 loopback"]
    for name, script in (("ss", ss), ("netstat", netstat)):
        path = fakes(tmp_path / name, "awk", "sort", **{name: script})
        assert lines(fact("listening_ports"), PATH=path) == wanted


@needs("ss")
def test_the_kernel_tells_the_ports_that_ss_tells(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_server(("0.0.0.0", 0)) as other:
        wanted = {f"tcp {server.getsockname()[1]} loopback", f"tcp {other.getsockname()[1]} everywhere"}
        kernel = fakes(tmp_path / "bin", "awk", "sort", "sed")
        for path in (os.environ["PATH"], kernel):
            assert wanted <= set(ran(fact("listening_ports"), PATH=path).stdout.splitlines())


@pytest.mark.parametrize("kind", ["system", "hardware"])
def test_what_a_machine_is_made_of(kind: str) -> None:
    first = {line.split()[0] for line in lines(fact(kind))}
    assert first >= ({"kernel", "machine"} if kind == "system" else {"processors", "MemTotal", "disk"})


def test_a_clock_that_others_set(tmp_path: Path) -> None:
    tools = ("sed", "readlink", "date")
    path = fakes(
        tmp_path / "a", *tools, timedatectl="echo 'System clock synchronized: yes'; echo 'NTP service: active'"
    )
    assert lines(fact("clock"), PATH=path)[1:] == ["synchronized yes"]
    path = fakes(tmp_path / "b", *tools, chronyc="echo 'Leap status     : Not synchronised'")
    assert lines(fact("clock"), PATH=path)[1:] == ["synchronized no"]


@needs("sqlite3")
def test_a_column_more_of_sqlite_is_one_line_more(tmp_path: Path) -> None:
    for name, more in (("staging", ""), ("qa", "alter table orders add archived int not null default 0;")):
        (tmp_path / name).mkdir()
        made = f"""create table orders (id integer primary key, customer text unique references people(id));
            create view v as\nselect 1; {more}"""
        subprocess.run(["sqlite3", str(tmp_path / name / "shop.db"), made], check=True)
    staging, qa = ("\n".join(lines(fact("sqlite", path=f"{tmp_path}/{name}/shop.db"))) for name in ("staging", "qa"))
    found = compare(fact("sqlite"), "staging", staging, "QA", qa)
    assert found is not None
    assert (found.only_here, found.only_there) == ((), ("column orders.archived: INT not null default 0",))
    assert staging.splitlines() == [
        "column orders.customer: TEXT",
        "column orders.id: INTEGER key 1",
        "table orders: customer references people id on delete NO ACTION on update NO ACTION",
        "table orders: unique customer",
        "view v of v: CREATE VIEW v as select 1",
    ]


PG_DUMP = r"""cat <<'END'
--
-- Dumped by pg_dump version 17.6
\restrict 8Hs7random
SET statement_timeout = 0;
SELECT pg_catalog.set_config('search_path', '', false);

CREATE FUNCTION shop.f() RETURNS integer
    LANGUAGE plpgsql
    AS $_$
begin
  -- adds

  return 1;
end;
$_$;

CREATE USER MAPPING FOR a SERVER b OPTIONS (
    password 'it''s secret',
    "user" 'u'
);

CREATE TABLE shop.orders (
    id integer NOT NULL%s,
    customer text,
    CONSTRAINT named CHECK ((customer <> ''::text))
);

ALTER TABLE ONLY shop.orders
    ADD CONSTRAINT orders_pkey PRIMARY KEY (id);

\unrestrict 8Hs7random
END"""
POSTGRESQL = [
    "CREATE FUNCTION shop.f() RETURNS integer",
    *(
        f"CREATE FUNCTION shop.f() RETURNS integer: {line}"
        for line in ("LANGUAGE plpgsql", "AS $_$", "begin", "-- adds", "", "return 1;", "end;", "$_$;")
    ),
    "CREATE USER MAPPING FOR a SERVER b OPTIONS (",
    *(
        f"CREATE USER MAPPING FOR a SERVER b OPTIONS: {line}"
        for line in ("password (not shown),", "\"user\" 'u'", ");")
    ),
    "column shop.orders.customer: text",
    "column shop.orders.id: integer NOT NULL",
    "table shop.orders: );",
    "table shop.orders: CONSTRAINT named CHECK ((customer <> ''::text))",
    "ALTER TABLE ONLY shop.orders",
    "ALTER TABLE ONLY shop.orders: ADD CONSTRAINT orders_pkey PRIMARY KEY (id);",
]
MYSQL_DUMP = r"""cat <<'END'
/*M!999999\- enable the sandbox mode */
/*!40101 SET @saved_cs_client     = @@character_set_client */;
CREATE TABLE `orders` (
  `id` int(11) NOT NULL AUTO_INCREMENT%s,
  `note` text DEFAULT 'a, b',
  PRIMARY KEY (`id`)
) ENGINE=InnoDB AUTO_INCREMENT=17 DEFAULT CHARSET=utf8mb4;
DELIMITER ;;
CREATE PROCEDURE p() BEGIN select 1; END ;;
DELIMITER ;
END"""
MYSQL = [
    "column orders.id: int(11) NOT NULL AUTO_INCREMENT",
    "column orders.note: text DEFAULT 'a, b'",
    "table `orders`: ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;",
    "table `orders`: PRIMARY KEY (`id`)",
    "CREATE PROCEDURE p() BEGIN select 1; END ;;",
]


@pytest.mark.parametrize(
    ("kind", "tool", "dump", "wanted", "added"),
    [
        ("postgresql", "pg_dump", PG_DUMP, POSTGRESQL, "column shop.orders.archived: integer"),
        ("mysql", "mysqldump", MYSQL_DUMP, MYSQL, "column orders.archived: integer"),
    ],
)
def test_a_dump_becomes_lines_that_name_their_table(
    kind: str, tool: str, dump: str, wanted: list[str], added: str, tmp_path: Path
) -> None:
    tools = ("awk", "sort", "cut", "cat", "id")
    without = fakes(tmp_path / "a", *tools, **{tool: dump % ""})
    found = lines(fact(kind, database="shop"), PATH=without)
    assert found == wanted
    column = fakes(tmp_path / "b", *tools, **{tool: dump % ",\n    archived integer"})
    assert set(lines(fact(kind, database="shop"), PATH=column)) - set(found) == {added}


def test_a_database_is_asked_as_the_user_that_is_named(tmp_path: Path) -> None:
    tools = ("awk", "sort", "cut")
    sudo = 'echo "$*" >> "$TOLD"; shift 3; exec "$@"'
    path = fakes(tmp_path / "bin", *tools, id="echo deploy", sudo=sudo, pg_dump="echo 'X;'")
    told = tmp_path / "told"
    (tmp_path / "bin/true").symlink_to(str(shutil.which("true")))
    assert lines(fact("postgresql", database="shop's", user="postgres"), PATH=path, TOLD=str(told)) == ["X;"]
    assert "-n -u postgres pg_dump --schema-only --no-password --dbname=shop's" in told.read_text().splitlines()


def test_sql_server_is_asked_without_its_certificate_only_on_the_machine_itself(tmp_path: Path) -> None:
    path = fakes(tmp_path / "bin", sqlcmd='for word; do case $word in *select*) ;; *) echo "$word" ;; esac; done')
    here = lines(fact("sqlserver", database="shop; drop"), PATH=path)
    assert here == ["-b", "-I", "-h", "-1", "-W", "-w", "65535", "-C", "-d", "shop; drop", "-Q"]
    assert "-C" not in lines(fact("sqlserver", database="shop"), PATH=path, SQLCMDSERVER="db.example.com")


LACKING: dict[str, str] = {
    "packages": "neither dpkg-query nor rpm is here",
    "services": "systemctl is not here",
    "files": "sha256sum is not here",
    "sqlite": "sqlite3 is not here",
    "postgresql": "pg_dump is not here",
    "mysql": "neither mariadb-dump nor mysqldump is here",
    "sqlserver": "sqlcmd is not here",
    "environment": "sha256sum is not here",
}


@pytest.mark.parametrize("kind", LACKING)
def test_a_missing_tool_is_said_and_the_fact_is_not_collected(kind: str, tmp_path: Path) -> None:
    asked = fact("postgresql", database="shop") if kind == "postgresql" else fact(kind)
    done = ran(asked, PATH=fakes(tmp_path / "bin", "id"))
    assert done.returncode == 69
    assert LACKING[kind] in done.stderr
    assert LACKING[kind] in done.stdout


@pytest.mark.parametrize(
    ("kind", "tool"), [("postgresql", "pg_dump"), ("mysql", "mariadb-dump"), ("sqlserver", "sqlcmd")]
)
def test_a_tool_that_fails_leaves_no_half_a_fact(kind: str, tool: str, tmp_path: Path) -> None:
    scripts: dict[str, Any] = {tool: "echo 'CREATE TABLE a ('; echo 'access denied' >&2; exit 2"}
    done = ran(fact(kind, database="shop"), PATH=fakes(tmp_path / "bin", "id", **scripts))
    assert done.returncode == 69
    assert "access denied" in done.stderr
    assert f"{tool} ended with 2" in done.stdout
