"""Sessions over TLS: the same as without, and nothing with a server that cannot prove who it is."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import posewire
from tests.connect.conftest import changed, eventually, landmarks, next_frame, points


class Authority:
    """Makes certificates that those who trust it accept."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        basic = (x509.BasicConstraints(ca=True, path_length=0), True)
        usage = x509.KeyUsage(
            digital_signature=False,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        root = self._sign(self._name, self._key.public_key(), [basic, (usage, True)])
        self.file = str(folder / f"{name}.pem")
        Path(self.file).write_bytes(root.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str, *addresses: str, days: int = 1, password: bytes | None = None) -> tuple[str, str]:
        """Return the files of a certificate for ``addresses`` and of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(each)) for each in addresses])
        certificate = self._sign(subject, key.public_key(), [(names, False)], days)
        cert_file, key_file = self._folder / f"{name}-cert.pem", self._folder / f"{name}-key.pem"
        cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
        key_file.write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
        )
        return str(cert_file), str(key_file)

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        extensions: list[tuple[x509.ExtensionType, bool]],
        days: int = 1,
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder(
            self._name,
            subject,
            key,
            x509.random_serial_number(),
            now - datetime.timedelta(days=10),
            now + datetime.timedelta(days=days),
        )
        for extension, critical in (
            *extensions,
            (x509.SubjectKeyIdentifier.from_public_key(key), False),
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), False),
        ):
            builder = builder.add_extension(extension, critical)
        return builder.sign(self._key, hashes.SHA256())


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "posewire-test")


def secured(files: tuple[str, str]) -> posewire.Config:
    return changed(server={"tls_cert": files[0], "tls_key": files[1]})


@pytest.fixture
async def server(authority: Authority) -> AsyncIterator[posewire.Server]:
    async with posewire.serve(config=secured(authority.issue("server", "127.0.0.1"))) as server:
        yield server


def trusting(ca_file: str | None) -> posewire.Config:
    return changed(socket={"ca_file": ca_file, "reconnect_attempts": 0})


async def test_poses_and_events_over_tls(server: posewire.Server, authority: Authority) -> None:
    assert server.url.startswith("https://127.0.0.1:")
    config = trusting(authority.file)
    async with (
        posewire.connect(server.url, token=server.issue_token("alice"), room="studio", config=config) as alice,
        posewire.connect(server.url, token=server.issue_token("bob"), room="studio", config=config) as bob,
    ):
        frames = bob.frames()
        waved = asyncio.Event()
        bob.on("wave", lambda event: waved.set())
        for seed in range(30):
            assert await alice.send_pose(landmarks(seed))
            frame = await next_frame(frames)
            np.testing.assert_array_equal(points(frame), landmarks(seed))
        await alice.send_event("wave", {"hand": "left"})
        async with asyncio.timeout(10):
            await waved.wait()
        # The short ways of both ends are the same over TLS: nobody had to ask for a keyframe or was told to slow down.
        assert server.stats().drops == {}
        lane = alice.socket._pool.usable()
        assert lane._descriptor > 0
        await eventually(lambda: lane.credited is True and not lane.credit.in_flight)


async def test_a_login_over_tls(server: posewire.Server, authority: Authority) -> None:
    await server.add_user("alice", "a long passphrase")
    credentials = {"username": "alice", "password": "a long passphrase"}
    async with posewire.connect(
        server.url, credentials=credentials, room="studio", config=trusting(authority.file)
    ) as alice:
        assert alice.user_id == "alice"
    with pytest.raises(posewire.ConnectionError, match=r"cannot log in at https.*certificate is not accepted"):
        async with posewire.connect(server.url, credentials=credentials, room="studio", config=trusting(None)):
            pass


async def test_a_server_of_another_authority_is_refused(server: posewire.Server, tmp_path: Path) -> None:
    other = Authority(tmp_path, "another")
    for ca_file, words in ((other.file, "by the authorities in .*another.pem"), (None, "this machine's authorities")):
        with pytest.raises(posewire.ConnectionError, match=rf"certificate is not accepted \(.*issuer.*\), .*{words}"):
            async with posewire.connect(
                server.url, token=server.issue_token("alice"), room="studio", config=trusting(ca_file)
            ):
                pass
    assert server.stats().connections == 0


@pytest.mark.parametrize(
    ("addresses", "days", "words"), [(["192.0.2.1"], 1, "mismatch"), (["127.0.0.1"], -1, "has expired")]
)
async def test_a_certificate_for_another_name_or_time_is_refused(
    authority: Authority, addresses: list[str], days: int, words: str
) -> None:
    async with posewire.serve(config=secured(authority.issue("wrong", *addresses, days=days))) as server:
        with pytest.raises(posewire.ConnectionError, match=rf"certificate is not accepted \(.*{words}"):
            async with posewire.connect(
                server.url, token=server.issue_token("alice"), room="studio", config=trusting(authority.file)
            ):
                pass


async def test_plain_text_gets_no_answer(server: posewire.Server) -> None:
    with pytest.raises(posewire.ConnectionError):
        async with posewire.connect(
            server.url.replace("https", "http"), token=server.issue_token("alice"), room="studio", config=trusting(None)
        ):
            pass
    await eventually(lambda: server.stats().drops.get("handshake_failed", 0) > 0)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_no_version_before_1_2(server: posewire.Server, authority: Authority, version: ssl.TLSVersion) -> None:
    context = ssl.create_default_context(cafile=authority.file)
    context.minimum_version = context.maximum_version = version
    context.set_ciphers("ALL:@SECLEVEL=0")
    if version is ssl.TLSVersion.TLSv1_2:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=context)
        assert writer.get_extra_info("cipher")[0].startswith("ECDHE")
        writer.close()
        await writer.wait_closed()
    else:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection("127.0.0.1", server.port, ssl=context)


async def test_who_does_not_finish_the_handshake_of_tls_is_cut(authority: Authority) -> None:
    config = secured(authority.issue("slow", "127.0.0.1"))
    config = msgspec.structs.replace(config, socket=msgspec.structs.replace(config.socket, connect_timeout=100))
    async with posewire.serve(config=config) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"\x16\x03\x01")  # the beginning of a handshake
        async with asyncio.timeout(10):
            assert not await reader.read()
        writer.close()
        await writer.wait_closed()
        await eventually(lambda: bool(server.stats().drops))
        assert server._door is not None
        await eventually(lambda: server._door is not None and server._door.strangers == 0)


async def test_a_server_that_stops_ends_handshakes_of_tls(authority: Authority) -> None:
    async with posewire.serve(config=secured(authority.issue("stop", "127.0.0.1"))) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        await eventually(lambda: server._door is not None and server._door.strangers == 1)
    async with asyncio.timeout(10):
        assert not await reader.read()
    writer.close()
    await writer.wait_closed()
