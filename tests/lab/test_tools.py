"""The commands on a lab host's PATH: they answer as the ones that they stand in for."""

import json
import os
import socket
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import TCPServer

import pytest

from lab import seed


@pytest.fixture(scope="module")
def lab_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lab's folder with nothing in it but its tools and the names of its hosts."""
    folder = tmp_path_factory.mktemp("a lab")
    seed.install_tools(folder / "tools")
    (folder / "hosts").write_text("127.0.0.1 prod-web\n")
    return folder


class Vm:
    """A host's shell without the host."""

    def __init__(self, lab_folder: Path, home: Path) -> None:
        self.home = home
        self.environment = {
            "HOME": str(home),
            "PATH": f"{lab_folder / 'tools'}:{os.environ['PATH']}",
            "LAB_ADDRESS": "127.0.0.1",
            "LAB_BOOT_ID": "boot-1",
        }

    def run(self, command: str, stdin: str = "") -> tuple[int, str, str]:
        """The exit code, and both streams."""
        done = subprocess.run(
            ["/bin/sh", "-c", command], cwd=self.home, env=self.environment, input=stdin, capture_output=True, text=True
        )
        return done.returncode, done.stdout, done.stderr


@pytest.fixture
def vm(lab_folder: Path, tmp_path: Path) -> Vm:
    database = sqlite3.connect(tmp_path / "shop.db")
    with database:
        database.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, item TEXT, euro REAL)")
        database.execute("INSERT INTO orders VALUES (1, 'a|b', 2.0), (2, NULL, 0.5)")
    database.close()
    return Vm(lab_folder, tmp_path)


REFUSED = "curl: (7) Failed to connect to 127.0.0.1 port 1: Couldn't connect to server\n"
SCHEMA = "CREATE TABLE orders (id INTEGER PRIMARY KEY, item TEXT, euro REAL);\n"


@pytest.mark.parametrize(
    ("command", "code", "out", "err"),
    [
        ("shop.db 'select * from orders'", 0, "1|a|b|2.0\n2||0.5\n", ""),
        ("-header -separator , shop.db 'select id, euro from orders'", 0, "id,euro\n1,2.0\n2,0.5\n", ""),
        ("shop.db \"select ';'; select 1e300, x'4142'\"", 0, ";\n1.0e+300|AB\n", ""),
        ("shop.db .schema", 0, SCHEMA, ""),
        ("shop.db '.schema nothing'", 0, "", ""),
        ("shop.db .tables", 0, "orders\n", ""),
        ("shop.db '.timeout 100' 'select 3'", 0, "3\n", ""),
        ("-cmd '.headers on' shop.db 'select 4 as four'", 0, "four\n4\n", ""),
        ("shop.db 'select archived from orders'", 1, "", "Error: in prepare, no such column: archived\n"),
        ("shop.db 'select 1; selec 2; select 3'", 1, "1\n", 'Error: in prepare, near "selec": syntax error\n'),
        (
            "shop.db 'insert into orders (id) values (1)'",
            19,
            "",
            "Error: stepping, UNIQUE constraint failed: orders.id (19)\n",
        ),
        (
            "-readonly shop.db 'delete from orders'",
            8,
            "",
            "Error: stepping, attempt to write a readonly database (8)\n",
        ),
        ("/no/x.db .tables", 1, "", 'Error: unable to open database "/no/x.db": unable to open database file\n'),
        ("--nope shop.db", 1, "", "sqlite3: Error: unknown option: --nope\nUse -help for a list of options.\n"),
        (
            "shop.db .nope",
            1,
            "",
            'Error: unknown command or invalid arguments:  "nope". Enter ".help" for help\n',
        ),
    ],
)  # fmt: skip
def test_sqlite3_answers_and_exits_as_the_real_one(vm: Vm, command: str, code: int, out: str, err: str) -> None:
    assert vm.run(f"sqlite3 {command}") == (code, out, err)


def test_sqlite3_reads_sql_from_stdin_and_says_which_line_was_bad(vm: Vm) -> None:
    sql = "select 1;\nselec 2;\nselect\n  3;\ninsert into orders (id) values (1);\n.tables\n"
    code, out, err = vm.run("sqlite3 shop.db", sql)
    assert (code, out) == (1, "1\n3\norders\n")
    assert err.splitlines() == [
        'Parse error near line 2: near "selec": syntax error',
        "Runtime error near line 5: UNIQUE constraint failed: orders.id (19)",
    ]
    assert vm.run("sqlite3 -bail shop.db", sql)[1] == "1\n"


def test_sqlite3_backs_up_and_dumps_what_can_be_read_again(vm: Vm) -> None:
    assert vm.run('sqlite3 shop.db ".backup copy.db" && sqlite3 shop.db .dump | sqlite3 again.db') == (0, "", "")
    rows = vm.run("sqlite3 shop.db 'select * from orders'")[1]
    for file in ("copy.db", "again.db"):
        assert vm.run(f"sqlite3 {file} 'pragma integrity_check' 'select * from orders'")[1] == f"ok\n{rows}"
    assert vm.run("sqlite3 shop.db '.backup /nowhere/x.db'") == (1, "", 'Error: cannot open "/nowhere/x.db"\n')


@pytest.fixture
def port() -> Iterator[int]:
    """A server that says what it was asked, with the status that the path names."""

    class Echo(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            said = f"{self.command} {self.headers['X-Who']} {self.rfile.read(length).decode()}".encode()
            self.send_response(int(self.path.rsplit("/", 1)[1]))
            self.end_headers()
            self.wfile.write(said)

        do_POST = do_PUT = do_GET

        def log_message(self, format: str, *args: object) -> None:
            """Nobody reads it."""

    with TCPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("command", "code", "out", "err"),
    [
        ("http://127.0.0.1:{port}/200", 0, "GET None ", ""),
        ("-sS http://localhost:{port}/404", 0, "GET None ", ""),
        ("-sSf http://prod-web:{port}/503", 22, "", "curl: (22) The requested URL returned error: 503\n"),
        ("-s -f http://127.0.0.1:{port}/404", 22, "", ""),
        ("-d a=1 -d b=2 -H 'X-Who: me' http://127.0.0.1:{port}/201", 0, "POST me a=1&b=2", ""),
        ("-XPUT --data-binary @- http://127.0.0.1:{port}/200", 0, "PUT None from stdin", ""),
        ("-s -o body -w '%{{http_code}}\\n' http://127.0.0.1:{port}/500", 0, "500\n", ""),
        ("--max-time 5 --connect-timeout 1 127.0.0.1:{port}/200", 0, "GET None ", ""),
        ("-s -w '%{{http_code}}' http://127.0.0.1:1/", 7, "000", ""),
        ("-sS http://127.0.0.1:1/", 7, "", REFUSED),
        ("-sS -w '\\n%{{http_code}}\\n' -- http://127.0.0.1:{port}/200", 0, "GET None \n200\n", ""),
        ("https://127.0.0.1/", 1, "", 'curl: (1) Protocol "https" not supported: hosts of the lab speak http\n'),
        ("--nope x", 2, "", "curl: option --nope: is unknown\n"),
        ("-s", 2, "", "curl: no URL specified!\n"),
    ],
)  # fmt: skip
def test_curl_answers_and_exits_as_the_real_one(vm: Vm, port: int, command: str, code: int, out: str, err: str) -> None:
    assert vm.run(f"curl {command.format(port=port)}", "from stdin") == (code, out, err)


def test_curl_gives_up_in_time(vm: Vm) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert vm.run(f"curl -sS -m 0.2 http://127.0.0.1:{port}/")[0] == 28


def test_the_small_commands(vm: Vm) -> None:
    (vm.home / "etc").mkdir()
    (vm.home / "etc" / "packages").write_text("bash\t5.2\ncurl\t7.88\n")
    assert vm.run("dpkg-query -W") == (0, "bash\t5.2\ncurl\t7.88\n", "")
    assert vm.run("dpkg-query -W curl zsh") == (
        1,
        "curl\t7.88\n",
        "dpkg-query: no packages found matching zsh\n",
    )
    assert vm.run("sysctl -n kernel.random.boot_id") == (0, "boot-1\n", "")
    assert vm.run("sudo -n -u root -- sh -c 'exit 9'")[0] == 9
    assert vm.run("sudo -n")[0] == 1
    assert vm.run("getent hosts prod-web") == (0, "127.0.0.1 prod-web\n", "")
    assert vm.run("getent hosts nobody")[0] == 2
    assert vm.run("python3 -c 'import msgspec'")[0] == 1  # a host has Python's own library alone


@pytest.mark.parametrize("word", ["reboot", "shutdown", "poweroff", "halt", "systemctl"])
def test_no_word_on_a_host_reaches_the_laptops_own_power(lab_folder: Path, vm: Vm, word: str) -> None:
    assert vm.run(f"command -v {word}")[1] == f"{lab_folder}/tools/{word}\n"
    vm.environment["LAB_POWER"] = "127.0.0.1:1"
    assert vm.run(f"{word} reboot")[0] != 0  # there is no lab to ask, so nothing happens


def test_the_backup_share_keeps_what_it_got(vm: Vm) -> None:
    assert vm.run("backup-share get out") == (1, "", "backup-share: there is no backup yet\n")
    for day in ("20260102", "20260101"):
        assert vm.run(f"echo {day} > orders-{day} && backup-share put orders-{day}") == (0, "", "")
    assert vm.run("backup-share put orders-20260101")[0] == 1
    assert vm.run("backup-share list")[1] == "orders-20260101\norders-20260102\n"
    assert vm.run("backup-share get out && cat out")[1] == "orders-20260102\n20260102\n"


def test_nc_reaches_the_vms_of_its_own_networks_alone(lab_folder: Path, vm: Vm) -> None:
    def wired(name: str, *nics: tuple[str, bool]) -> None:
        (lab_folder / "vms" / name).mkdir(parents=True, exist_ok=True)
        record = {"name": name, "nics": [{"network": network, "connected": on} for network, on in nics]}
        (lab_folder / "vms" / name / "vm.json").write_text(json.dumps(record))

    (lab_folder / "hosts").write_text("127.0.0.1 prod-web\n127.0.0.2 staging-web\n127.0.0.3 staging-db\n")
    vm.environment["LAB_ADDRESS"] = "127.0.0.2"
    wired("prod-web", ("prod-lan", True))
    wired("staging-web", ("isolated", True), ("prod-lan", False))
    wired("staging-db", ("isolated", True))
    with socket.create_server(("0.0.0.0", 0)) as door, socket.create_server(("127.0.0.3", 0)) as closed:
        port, refused = door.getsockname()[1], closed.getsockname()[1]
        closed.close()
        there = f"Connection to staging-db {port} port [tcp/*] succeeded!\n"
        assert vm.run(f"nc -v -z -w 3 staging-db {port}") == (0, "", there)
        assert vm.run(f"nc -vz 127.0.0.3 {port}")[0] == 0
        assert vm.run(f"nc -vz localhost {port}")[0] == 0
        assert vm.run(f"nc -vz 127.0.0.9 {port}")[0] == 0
        away = f"nc: connect to prod-web port {port} (tcp) failed: No route to host\n"
        assert vm.run(f"nc -v -z -w 3 prod-web {port}") == (1, "", away)
        gone = f"nc: connect to staging-db port {refused} (tcp) failed: Connection refused\n"
        assert vm.run(f"nc -v -z staging-db {refused}") == (1, "", gone)
        wired("staging-web", ("isolated", True), ("prod-lan", True))
        assert vm.run(f"nc -v -z -w 3 prod-web {port}")[0] == 0
    unknown = 'nc: getaddrinfo for host "nowhere": Name or service not known\n'
    assert vm.run("nc -v -z nowhere 80") == (1, "", unknown)
    assert vm.run("nc -l 80")[2] == "nc: invalid option -- 'l'\n"
    assert vm.run("nc prod-web 80")[2].startswith("usage: nc -z ")
