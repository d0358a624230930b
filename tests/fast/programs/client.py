"""A client of PostgreSQL's protocol that shows every message, for programs under test."""

import os
import socket
import struct


def text(value):
    return value.encode() + b"\0"


def message(kind, body=b""):
    return kind + struct.pack("!i", len(body) + 4) + body


def query(sql):
    return message(b"Q", text(sql))


def parse(sql, name=""):
    return message(b"P", text(name) + text(sql) + b"\0\0")


def bind(values=(), name="", portal=""):
    sent = b"".join(struct.pack("!i", len(value)) + value for value in (str(value).encode() for value in values))
    return message(b"B", text(portal) + text(name) + b"\0\0" + struct.pack("!h", len(values)) + sent + b"\0\0")


def describe(name="", kind=b"S"):
    return message(b"D", kind + text(name))


def execute(rows=0, portal=""):
    return message(b"E", text(portal) + struct.pack("!i", rows))


SYNC = message(b"S")
FLUSH = message(b"H")


class Failed(Exception):
    def __init__(self, fields):
        super().__init__(fields["C"] + ": " + fields["M"])
        self.code = fields["C"]


class Connection:
    def __init__(self, **settings):
        self.socket = socket.create_connection((os.environ["PGHOST"], int(os.environ["PGPORT"])))
        self.file = self.socket.makefile("rb")
        settings = {"user": os.environ["PGUSER"], "database": os.environ["PGDATABASE"], **settings}
        body = b"".join(text(name) + text(value) for name, value in settings.items()) + b"\0"
        self.socket.sendall(struct.pack("!ii", len(body) + 8, 196608) + body)
        self.parameters = {}
        self.notified = []
        self.status = None
        for kind, body in self.until(b"Z", logs_in=True):
            if kind == b"S":
                name, value = body.decode().split("\0")[:2]
                self.parameters[name] = value
            if kind == b"K":
                self.key = body

    def send(self, *messages):
        self.socket.sendall(b"".join(messages))

    def one(self):
        header = self.file.read(5)
        if len(header) < 5:
            raise EOFError("the server has hung up")
        kind, length = struct.unpack("!ci", header)
        return kind, self.file.read(length - 4)

    def until(self, last, logs_in=False):
        """The messages up to one of these kinds."""
        found = []
        while True:
            kind, body = self.one()
            if logs_in and kind == b"R" and body == struct.pack("!i", 3):
                self.send(message(b"p", text(os.environ["PGPASSWORD"])))
            found.append((kind, body))
            if kind == b"Z":
                self.status = body.decode()
            if kind in last:
                return found
            if logs_in and kind == b"E":
                raise Failed(fields(body))

    def kinds(self, last=b"Z"):
        """The kinds of messages up to the last, in one word."""
        return "".join(kind.decode() for kind, _ in self.until([last]))

    def run(self, sql):
        """Runs a simple query, and returns its rows."""
        self.send(query(sql))
        return self.rows()

    def ask(self, sql, values=()):
        """Runs a statement by the extended protocol, and returns its rows."""
        self.send(parse(sql), bind(values), execute(), SYNC)
        return self.rows()

    def rows(self, last=b"Z"):
        rows, failed = [], None
        for kind, body in self.until([last, b"Z"] if failed else [last]):
            if kind == b"D":
                rows.append(values(body))
            if kind == b"E":
                failed = Failed(fields(body))
        if failed:
            raise failed
        return rows

    def cancel(self):
        """Asks for its query to be cancelled, and returns when the server has been told."""
        with socket.create_connection((os.environ["PGHOST"], int(os.environ["PGPORT"]))) as other:
            other.sendall(struct.pack("!ii", 16, 80877102) + self.key)
            assert other.recv(1) == b""

    def close(self):
        self.send(message(b"X"))
        self.file.close()
        self.socket.close()


def fields(body):
    return {part[:1].decode(): part[1:].decode() for part in body.split(b"\0") if part}


def values(body):
    count, found, at = struct.unpack("!h", body[:2])[0], [], 2
    for _ in range(count):
        (length,) = struct.unpack("!i", body[at : at + 4])
        at += 4
        found.append(None if length < 0 else body[at : at + length].decode())
        at += max(length, 0)
    return found
