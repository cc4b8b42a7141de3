"""How connections come about: which address is taken, what TLS checks, who waits for a name."""

import asyncio
import shutil
import socket
import ssl
import subprocess
import threading
from pathlib import Path

import pytest

from server.errors import AddressForbidden, Unreachable
from server.net import Guard, GuardedClient
from server.net.connecting import GuardedBackend
from server.net.resolver import Resolver
from tests.net.places import LOCAL, MUCH_LATER, fetch, guarded, ok, says, serving


def names(**table: list[str]):
    async def resolve(host: str, port: int) -> list[str]:
        if host not in table:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return table[host]

    return resolve


def test_the_next_address_is_taken_where_one_is_shut(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(says(ok(b"song"))) as server:
            client = guarded(LOCAL, names(two=["127.0.0.77", "127.0.0.1"]))
            await fetch(client, f"http://two:{server.port}/", tmp_path / "f")
            assert server.calls[0].head["host"] == f"two:{server.port}"

    asyncio.run(main())


@pytest.mark.parametrize(("host", "says"), [("none", "There is no host none"),
                                            ("empty", "empty cannot be reached")])
def test_a_name_without_an_address(host: str, says: str, tmp_path: Path) -> None:
    client = guarded(LOCAL, names(empty=[]))
    with pytest.raises(Unreachable, match=says):
        asyncio.run(fetch(client, f"http://{host}/", tmp_path / "f"))


def test_ipv6(tmp_path: Path) -> None:
    async def main() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(ok(b"song"))
            writer.close()

        heads: list[bytes] = []
        try:
            listener = await asyncio.start_server(answer, "::1", 0)
        except OSError:
            pytest.skip("no IPv6 on this machine")
        port = listener.sockets[0].getsockname()[1]
        client = guarded(Guard.of(["::1/128"]))
        await fetch(client, f"http://[::1]:{port}/", tmp_path / "f")
        assert b"Host: [::1]:%d\r\n" % port in heads[0]
        with pytest.raises(AddressForbidden):
            await fetch(client, f"http://127.0.0.1:{port}/", tmp_path / "f")
        listener.close()

    asyncio.run(main())


def test_unix_sockets_are_never_called() -> None:
    backend = GuardedBackend(Guard(), names())
    with pytest.raises(AddressForbidden):
        asyncio.run(backend.connect_unix_socket("/run/x"))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for song.test in one file, made for this run."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate")
    folder = tmp_path_factory.mktemp("tls")
    path = folder / "both.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2", "-subj", "/CN=song.test", "-addext",
         "subjectAltName=DNS:song.test", "-keyout", folder / "key", "-out", folder / "cert"],
        check=True, capture_output=True,
    )  # fmt: skip
    path.write_bytes((folder / "key").read_bytes() + (folder / "cert").read_bytes())
    return path


@pytest.mark.parametrize("host", ["song.test", "SONG.test.", "other.test", "127.0.0.1"])
def test_tls_checks_the_name_and_not_the_address(
    host: str, certificate: Path, tmp_path: Path
) -> None:
    asked: list[str | None] = []
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    tls.sni_callback = lambda sock, name, context: asked.append(name)
    trusting = ssl.create_default_context(cafile=certificate)
    resolve = names(**{name: ["127.0.0.1"] for name in ("song.test", "other.test")})

    async def main() -> None:
        async with serving(says(ok(b"song")), tls) as server:
            url = f"https://{host}:{server.port}/"
            get = fetch(GuardedClient(LOCAL, resolve, trusting), url, tmp_path / "f")
            if "song" in host.lower():
                await get
                assert asked == ["song.test"]
                with pytest.raises(Unreachable, match="no secure connection"):  # who signed it?
                    await fetch(guarded(LOCAL, resolve), url, tmp_path / "f")
            else:
                with pytest.raises(Unreachable, match="no secure connection"):
                    await get

    asyncio.run(main())


def test_names_that_nobody_answers_for_hold_up_neither_names_nor_files() -> None:
    """Asyncio's own threads are few, and everybody's files go through them."""
    release = threading.Event()

    def lookup(host: str, port: int, **_: int) -> list[tuple]:
        if host == "slow":
            release.wait(MUCH_LATER)
        return [(0, 0, 0, "", ("192.0.2.1", port)), (0, 0, 0, "", ("192.0.2.1", port))]

    async def main() -> None:
        resolver = Resolver(lookup)
        slow = [asyncio.create_task(resolver("slow", 80)) for _ in range(60)]
        try:
            async with asyncio.timeout(MUCH_LATER / 2):
                assert await resolver("quick", 80) == ["192.0.2.1"]
                assert await asyncio.to_thread(lambda: 7) == 7
            assert not any(task.done() for task in slow)
        finally:
            release.set()
        assert await asyncio.gather(*slow) == [["192.0.2.1"]] * 60

    asyncio.run(main())


def test_lookups_are_bounded_and_a_cancelled_one_keeps_its_place_until_it_ends() -> None:
    release, running = threading.Event(), []

    def lookup(host: str, port: int, **_: int) -> list[tuple]:
        running.append(host)
        assert threading.current_thread().daemon  # or it would hold up the exit
        release.wait(MUCH_LATER)
        return [(0, 0, 0, "", ("192.0.2.1", port))]

    async def main() -> None:
        resolver = Resolver(lookup, most=2)
        tasks = [asyncio.create_task(resolver(f"host-{n}", 80)) for n in range(3)]
        async with asyncio.timeout(MUCH_LATER):
            while len(running) < 2:
                await asyncio.sleep(0.01)
            tasks[0].cancel()
            await asyncio.wait([tasks[0]])
            await asyncio.sleep(0.1)
            assert len(running) == 2  # its thread still looks
            release.set()
            assert await tasks[2] == ["192.0.2.1"]

    asyncio.run(main())


def test_a_lookup_that_fails_says_so_and_gives_its_place_back() -> None:
    def lookup(host: str, port: int, **_: int) -> list[tuple]:
        raise UnicodeError if host == "odd" else socket.gaierror(socket.EAI_NONAME, "unknown")

    async def main() -> None:
        resolver = Resolver(lookup, most=1)
        for host, said in (("odd", "no host name"), ("none", "unknown"), ("odd", "no host")):
            with pytest.raises(OSError, match=said):
                await asyncio.wait_for(resolver(host, 80), MUCH_LATER)

    asyncio.run(main())


def test_a_slow_name_is_within_the_deadline(tmp_path: Path) -> None:
    async def never(host: str, port: int) -> list[str]:
        await asyncio.sleep(MUCH_LATER * 2)
        return []

    with pytest.raises(Unreachable, match="within"):
        asyncio.run(fetch(guarded(LOCAL, never), "http://x/", tmp_path / "f", total_s=0.2))
