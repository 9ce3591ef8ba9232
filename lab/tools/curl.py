"""Touches one HTTP server as `curl` does, for laptops that have none: what health checks and small scripts ask of it.

On a VM of the lab the loopback address is the VM's own, and the other VMs are known by their names. Messages and
exit codes are curl's.
"""

import os
import socket
import sys
import time

LONG = {
    "--disable": "q",
    "--silent": "s",
    "--show-error": "S",
    "--fail": "f",
    "--include": "i",
    "--head": "I",
    "--output": "o",
    "--write-out": "w",
    "--max-time": "m",
    "--connect-timeout": "t",  # read over: on loopback a connection stands or is refused at once
    "--request": "X",
    "--data": "d",
    "--data-binary": "d",
    "--header": "H",
    "--user-agent": "A",
}
FLAGS = "sSfiIgq"  # g, q: this curl never expands an address, nor reads a configuration file
TAKES_VALUE = "owmtXdHA"


class Complaint(Exception):
    """What curl says on stderr, and the code that it exits with."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Call:
    """The command line: flags and options by their letters."""

    def __init__(self) -> None:
        self.url = ""
        self.flags: set[str] = set()
        self.options: dict[str, str] = {}
        self.headers: list[str] = []
        self.data: list[bytes] = []


class Answer:
    """What the server said: `head` is the status line and the headers as they came."""

    def __init__(self, head: bytes, body: bytes) -> None:
        self.head = head
        self.body = body
        self.status = int(head.split(None, 2)[1])


def parse(arguments: list[str]) -> Call:
    """Reads the command line. Raises Complaint for what this curl does not know."""
    call = Call()
    words = iter(arguments)
    for word in words:
        if word == "--":
            call.url = next(words, "")
            break
        if not word.startswith("-"):
            call.url = word
            continue
        letters = LONG.get(word, "-") if word.startswith("--") else word[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            if letter in FLAGS:
                call.flags.add(letter)
            elif letter in TAKES_VALUE:
                take(call, letter, letters or next(words, ""))
                break
            else:
                raise Complaint(2, f"curl: option {word}: is unknown")
    if not call.url:
        raise Complaint(2, "curl: no URL specified!")
    return call


def take(call: Call, letter: str, value: str) -> None:
    """Notes one option's value; data may come from a file (@NAME) or stdin (@-)."""
    if letter == "H":
        call.headers.append(value)
    elif letter == "d" and value == "@-":
        call.data.append(sys.stdin.buffer.read())
    elif letter == "d" and value.startswith("@"):
        with open(value[1:], "rb") as file:
            call.data.append(file.read())
    elif letter == "d":
        call.data.append(value.encode())
    else:
        call.options[letter] = value


def ask(call: Call) -> Answer:
    """Sends the request and reads the whole answer. Raises Complaint as curl would."""
    scheme, _, rest = call.url.partition("://") if "://" in call.url else ("http", "", call.url)
    if scheme != "http":
        raise Complaint(1, f'curl: (1) Protocol "{scheme}" not supported: hosts of the lab speak http')
    place, slash, path = rest.partition("/")
    name, _, port = place.partition(":")
    limit = float(call.options.get("m", "300"))
    deadline = time.monotonic() + limit
    try:
        with socket.create_connection((address(name), int(port or 80)), limit) as connection:
            connection.sendall(request(call, place, slash + path or "/"))
            data = bytearray()
            while chunk := receive(connection, deadline):
                data += chunk
    except TimeoutError:
        raise Complaint(28, f"curl: (28) Operation timed out after {limit:g} s") from None
    except socket.gaierror:
        raise Complaint(6, f"curl: (6) Could not resolve host: {name}") from None
    except ConnectionRefusedError:
        raise Complaint(
            7, f"curl: (7) Failed to connect to {name} port {port or 80}: Couldn't connect to server"
        ) from None
    except OSError as error:
        raise Complaint(56, f"curl: (56) {error.strerror}") from None
    if not data:
        raise Complaint(52, "curl: (52) Empty reply from server")
    if not data.startswith(b"HTTP/"):
        raise Complaint(1, "curl: (1) Received HTTP/0.9 when not allowed")
    head, _, body = bytes(data).partition(b"\r\n\r\n")
    return Answer(head, body)


def receive(connection: socket.socket, deadline: float) -> bytes:
    """The next bytes, or none at the end. Raises TimeoutError past `deadline`."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    connection.settimeout(left)
    return connection.recv(65536)


def address(name: str) -> str:
    """The address of a host as this VM sees it."""
    if name in ("localhost", "127.0.0.1"):
        return os.environ["LAB_ADDRESS"]
    with open(os.path.join(os.path.dirname(sys.argv[0]), "..", "..", "hosts")) as hosts:
        known = [line.split() for line in hosts]
    return next((address for address, other in known if other == name), name)


def request(call: Call, place: str, path: str) -> bytes:
    """The request's bytes. HTTP/1.0, so that the answer ends with the connection and is never chunked."""
    method = call.options.get("X") or ("HEAD" if "I" in call.flags else "POST" if call.data else "GET")
    given = {line.partition(":")[0].lower() for line in call.headers}
    headers = {"Host": place, "User-Agent": call.options.get("A", "curl/7.88.1"), "Accept": "*/*"}
    body = b"&".join(call.data)
    if call.data:
        headers |= {"Content-Length": str(len(body)), "Content-Type": "application/x-www-form-urlencoded"}
    lines = [f"{method} {path} HTTP/1.0", *call.headers]
    lines += [f"{name}: {value}" for name, value in headers.items() if name.lower() not in given]
    return "\r\n".join([*lines, "", ""]).encode() + body


def show(call: Call, answer: Answer) -> None:
    """Writes the answer where the command line wants it. Raises Complaint for a status that -f calls an error."""
    if "f" in call.flags and answer.status >= 400:
        complaint = Complaint(22, f"curl: (22) The requested URL returned error: {answer.status}")
    else:
        complaint = None
        shown = answer.head + b"\r\n\r\n" if call.flags & {"i", "I"} else b""
        if (file := call.options.get("o", "-")) == "-":
            sys.stdout.buffer.write(shown + answer.body)
        else:
            with open(file, "wb") as target:
                target.write(shown + answer.body)
    form = call.options.get("w", "").replace("%{http_code}", str(answer.status)).replace("\\n", "\n")
    sys.stdout.buffer.write(form.encode())
    if complaint:
        raise complaint


def main(arguments: list[str]) -> int:
    """Does one call. Returns the exit code."""
    quiet = False
    try:
        call = parse(arguments)
        quiet = "s" in call.flags and "S" not in call.flags
        try:
            answer = ask(call)
        except Complaint:
            sys.stdout.write(call.options.get("w", "").replace("%{http_code}", "000").replace("\\n", "\n"))
            raise
        show(call, answer)
    except Complaint as complaint:
        sys.stdout.flush()
        if not quiet:
            print(complaint, file=sys.stderr)
        return complaint.code
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
