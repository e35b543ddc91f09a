"""Quotes: what is built verifies, whatever is altered does not, and simulated never passes for real."""

import dataclasses
import datetime
import stat
import struct
import warnings

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from workflows.core.failure import Failed
from workflows.sgx.pki import Pki, development_pki
from workflows.sgx.quote import BadQuote, Quoter, Report, parse, verify

MRENCLAVE, DATA = "a7" * 32, bytes(range(64))


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return development_pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def quote(pki: Pki) -> bytes:
    return Quoter(pki).quote(MRENCLAVE, DATA)


def test_round_trip(pki: Pki, quote: bytes) -> None:
    seen = verify(quote, pki.root)
    assert seen.mrenclave == MRENCLAVE
    assert seen.report_data == DATA
    assert seen.simulated
    assert seen.report.debug
    assert seen == parse(quote)


def test_the_layout_is_intels(quote: bytes) -> None:
    assert struct.unpack_from("<HHI", quote) == (3, 2, 0)
    assert quote[112:144].hex() == MRENCLAVE
    assert quote[368:432] == DATA
    (length,) = struct.unpack_from("<I", quote, 432)
    assert len(quote) == 436 + length
    auth = 436 + 64 + 64 + 384 + 64
    (auth_size,) = struct.unpack_from("<H", quote, auth)
    kind, size = struct.unpack_from("<HI", quote, auth + 2 + auth_size)
    assert kind == 5
    assert quote[auth + 8 + auth_size :][:size].startswith(b"-----BEGIN CERTIFICATE-----\n")
    assert quote[auth + 8 + auth_size :].count(b"BEGIN CERTIFICATE") == 3


@pytest.mark.slow
def test_no_bit_can_be_flipped(pki: Pki, quote: bytes) -> None:
    passed = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # cryptography comments on broken certificates
        for bit in range(len(quote) * 8):
            altered = bytearray(quote)
            altered[bit // 8] ^= 1 << bit % 8
            try:
                verify(bytes(altered), pki.root)
            except BadQuote:
                continue
            passed.append(bit)
    assert passed == []


@pytest.mark.parametrize(
    ("at", "name"),
    [
        (0, "unsupported"),
        (112, "signature"),
        (368, "signature"),
        (432, "malformed"),
        (440, "signature"),
        (510, "qe_report_data"),
        (600, "qe_report"),
        (960, "qe_report"),
    ],
)
def test_what_was_altered_is_named(pki: Pki, quote: bytes, at: int, name: str) -> None:
    altered = bytearray(quote)
    altered[at] ^= 0xFF
    with pytest.raises(BadQuote) as caught:
        verify(bytes(altered), pki.root)
    assert caught.value.name == name


@given(st.data())
def test_a_quote_cut_short_or_made_longer_is_refused(pki: Pki, quote: bytes, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(quote) - 1))
    for other in (quote[:cut], quote + b"\0" * (cut + 1)):
        with pytest.raises(BadQuote) as caught:
            verify(other, pki.root)
        assert caught.value.name == "malformed"


@given(st.binary(max_size=2000))
def test_noise_is_no_quote(noise: bytes) -> None:
    with pytest.raises(BadQuote):
        parse(noise)


def test_another_development_root_is_not_this_one(quote: bytes, tmp_path) -> None:
    with pytest.raises(BadQuote) as caught:
        verify(quote, development_pki(tmp_path).root)
    assert caught.value.name == "root"


def live_root() -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """A root such as a live network has: nothing in it says SIMULATED."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "SGX Root CA")])
    return issue(name, key, name, key), key


def issue(subject, key, issuer, issuer_key, ca=True) -> x509.Certificate:
    now = datetime.datetime.now(datetime.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .sign(issuer_key, hashes.SHA256())
    )


def test_a_live_verifier_says_that_it_is_simulated(quote: bytes) -> None:
    with pytest.raises(BadQuote, match="SIMULATED") as caught:
        verify(quote, live_root()[0])
    assert caught.value.name == "simulated"


def test_a_simulated_quote_fails_even_where_a_real_root_signed_its_chain(pki: Pki, tmp_path) -> None:
    root, key = live_root()
    middle = issue(pki.intermediate.subject, key, root.subject, key)
    leaf = issue(pki.pck.subject, pki.pck_key, middle.subject, key, ca=False)
    mixed = dataclasses.replace(pki, root=root, intermediate=middle, pck=leaf)
    with pytest.raises(BadQuote) as caught:
        verify(Quoter(mixed).quote(MRENCLAVE, DATA), root)
    assert caught.value.name == "simulated"


def test_the_localnet_refuses_a_real_chain(pki: Pki) -> None:
    root, key = live_root()
    leaf_key = ec.generate_private_key(ec.SECP256R1())
    middle = issue(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "PCK CA")]), key, root.subject, key)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "PCK")])
    leaf = issue(name, leaf_key, middle.subject, key, ca=False)
    real = Quoter(Pki(root, key, middle, leaf, leaf_key)).quote(MRENCLAVE, DATA)
    with pytest.raises(BadQuote) as caught:
        verify(real, pki.root)
    assert caught.value.name == "root"


def test_a_leaf_cannot_issue(pki: Pki) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = issue(pki.pck.subject, key, pki.pck.subject, pki.pck_key, ca=False)
    forged = Quoter(dataclasses.replace(pki, intermediate=pki.pck, pck=leaf, pck_key=key))
    with pytest.raises(BadQuote) as caught:
        verify(forged.quote(MRENCLAVE, DATA), pki.root)
    assert caught.value.name == "chain"


def test_a_chain_is_valid_for_a_time(pki: Pki, quote: bytes) -> None:
    now = datetime.datetime.now(datetime.timezone.utc)
    for days in (-2, 3651):
        with pytest.raises(BadQuote) as caught:
            verify(quote, pki.root, now + datetime.timedelta(days=days))
        assert caught.value.name == "expired"


def test_the_development_certificates_are_private_and_say_what_they_are(tmp_path) -> None:
    folder = tmp_path / "keys"
    made = development_pki(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
    for certificate in (made.root, made.intermediate, made.pck):
        assert "SIMULATED" in certificate.subject.rfc4514_string()
    assert development_pki(folder).root == made.root
    assert x509.load_pem_x509_certificate(made.root_pem.encode()) == made.root
    again = made.root_key.private_numbers() == development_pki(folder).root_key.private_numbers()
    assert again


def test_a_damaged_set_is_not_replaced_in_silence(tmp_path) -> None:
    development_pki(tmp_path)
    (tmp_path / "pck.key").write_text("nonsense")
    with pytest.raises(Failed, match="damaged"):
        development_pki(tmp_path)


def test_reports_keep_their_fields() -> None:
    report = Report(
        mrenclave=b"e" * 32,
        mrsigner=b"s" * 32,
        report_data=b"d" * 64,
        cpu_svn=b"c" * 16,
        misc_select=1,
        isv_ext_prod_id=b"x" * 16,
        attributes=b"\x04" + b"a" * 15,
        config_id=b"i" * 64,
        isv_prod_id=2,
        isv_svn=3,
        config_svn=4,
        isv_family_id=b"f" * 16,
    )
    assert len(report.pack()) == 384
    assert Report.unpack(report.pack()) == report
    assert not report.debug
    with pytest.raises(ValueError, match="32 bytes"):
        dataclasses.replace(report, mrenclave=b"short").pack()
