"""A proxy that notes what passes: one in front of the gateway, one in front of each pod. What one of them saw of a request
must be what the other saw, to the byte; and a client that leaves in front must be seen to leave behind.
"""

import hashlib
import itertools
import socket
import threading
import time

# Header by which a request is known on both sides of the gateway.
MARK = "x-matrix-request"

# Bytes of a head, and of one read: heads of clients are a few kB.
HEAD_MAX = 1 << 16
READ_MAX = 1 << 16

# Seconds without a byte after which a connection is taken for dead.
IDLE = 60


class Passed:
    """What one side saw of a request."""

    def __init__(self):
        self.request = hashlib.sha256()
        self.response = hashlib.sha256()
        self.request_bytes = self.response_bytes = 0
        self.status = None
        # Time at which the side that asked went away before the answer was whole.
        self.left_at = None
        self.is_over = threading.Event()

    def sums(self):
        return (self.request.hexdigest(), self.response.hexdigest(), self.status)


class Recorder:
    """A proxy on a port of its own in front of `target`."""

    marks = itertools.count(1)

    def __init__(self, target, marks_requests):
        self.target, self.marks_requests = target, marks_requests
        self.passed = {}
        self.lock = threading.Lock()
        self.server = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.address = "%s:%d" % self.server.getsockname()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.server.accept()
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        host, port = self.target.rsplit(":", 1)
        try:
            with client, socket.create_connection((host, int(port)), timeout=IDLE) as server:
                client.settimeout(IDLE)
                asking, answering = Reader(client), Reader(server)
                while self.exchange(asking, answering):
                    pass
        except (OSError, EOFError):
            pass

    def exchange(self, asking, answering):
        """Passes one request and its answer. Returns whether the connection may have another."""
        client, server = asking.sock, answering.sock
        head = asking.head()
        if self.marks_requests:
            head = head.replace(b"\r\n", f"\r\n{MARK}: {next(self.marks)}\r\n".encode(), 1)
        record = self.note(field(head, MARK))
        server.sendall(head)
        for raw, body in asking.body(head, b""):
            server.sendall(raw)
            record.request.update(body)
            record.request_bytes += len(body)
        watch = threading.Thread(target=self.watch, args=(client, server, record), daemon=True)
        watch.start()
        head = answering.head()
        while head.split(b" ", 2)[1] == b"100":
            client.sendall(head)
            head = answering.head()
        record.status = int(head.split(b" ", 2)[1])
        client.sendall(head)
        if record.status == 101:
            record.is_over.set()
            tunnel(client, server)
            return False
        try:
            for raw, body in answering.body(head, b"close"):
                client.sendall(raw)
                record.response.update(body)
                record.response_bytes += len(body)
        finally:
            record.is_over.set()
        return field(head, "connection").lower() != "close"

    def watch(self, client, server, record):
        """Passes on that the side that asked has gone."""
        while not record.is_over.wait(0.02):
            try:
                client.setblocking(True)
                if client.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b"":
                    record.left_at = time.monotonic()
                    server.shutdown(socket.SHUT_RDWR)
                    return
            except BlockingIOError:
                continue
            except OSError:
                record.left_at = record.left_at or time.monotonic()
                return

    def note(self, mark):
        with self.lock:
            return self.passed.setdefault(mark, Passed()) if mark else Passed()


class Reader:
    """One side of a connection, read by messages."""

    def __init__(self, sock):
        self.sock, self.buffer = sock, bytearray()

    def more(self):
        part = self.sock.recv(READ_MAX)
        if not part:
            raise EOFError
        self.buffer += part

    def take(self, count):
        part = bytes(self.buffer[:count])
        del self.buffer[:count]
        return part

    def until(self, end):
        while end not in self.buffer:
            if len(self.buffer) > HEAD_MAX:
                raise EOFError
            self.more()
        return self.take(self.buffer.index(end) + len(end))

    def head(self):
        return self.until(b"\r\n\r\n")

    def body(self, head, without_length):
        """Yields the bytes of a body as they are sent, each with what they say; `without_length` is b"close" for an answer."""
        if field(head, "transfer-encoding").lower() == "chunked":
            yield from self.chunks()
        elif field(head, "content-length"):
            left = int(field(head, "content-length"))
            while left:
                if not self.buffer:
                    self.more()
                part = self.take(left)
                left -= len(part)
                yield part, part
        elif without_length and head.split(b" ", 2)[1] not in (b"204", b"304"):
            while True:
                try:
                    if not self.buffer:
                        self.more()
                except EOFError:
                    return
                part = self.take(READ_MAX)
                yield part, part

    def chunks(self):
        while True:
            line = self.until(b"\r\n")
            size = int(line.split(b";")[0], 16)
            while len(self.buffer) < size + 2:
                self.more()
            part = self.take(size + 2)
            yield line + part, part[:size]
            if size == 0:
                return


def field(head, name):
    """Returns a header's value; nothing where there is none."""
    for line in head.decode("latin-1").split("\r\n")[1:]:
        key, _, value = line.partition(":")
        if key.strip().lower() == name:
            return value.strip()
    return ""


def tunnel(client, server):
    def pump(source, sink):
        try:
            while part := source.recv(READ_MAX):
                sink.sendall(part)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    back = threading.Thread(target=pump, args=(server, client), daemon=True)
    back.start()
    pump(client, server)
    back.join(IDLE)
