"""Quotes of every kind as `creamtea measure` shows them: what is checked, what is not, what is SIMULATED."""

import base64
import datetime
import json
import struct
import warnings
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sgx.quotes import BODY, PRODUCTION, QE_SIGNER, TD_BODY, Platform
from workflows.cli import main
from workflows.core.failure import Failed, Missing
from workflows.sgx import intel
from workflows.sgx.inspection import Inspection, inspect
from workflows.sgx.pki import development_pki
from workflows.sgx.quote import Quoter
from workflows.sgx.report import Report


@pytest.fixture(scope="module")
def platform() -> Platform:
    return Platform()


@pytest.fixture
def trusted(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> Platform:
    """The platform's root in the place of Intel's."""
    monkeypatch.setattr(intel, "root", lambda: platform.root)
    return platform


def look(folder: Path, data: bytes, **options: object) -> Inspection:
    (folder / "quote").write_bytes(data)
    return inspect(folder / "quote", **options)


def wrong(found: Inspection) -> dict[str, str]:
    return {check["name"]: check["cause"] for check in found.document["checks"] if not check["ok"]}


def test_a_good_quote(trusted: Platform, tmp_path: Path) -> None:
    found = look(tmp_path, trusted.quote(body=BODY.pack()))
    document = found.document
    assert found.sound
    assert document["kind"] == "quote"
    assert document["verified"] is True
    assert document["simulated"] is False
    assert document["mrenclave"] == (b"e" * 32).hex()
    assert document["sigstruct"] is document["matches"] is document["pages"] is document["heap"] is None
    assert [check["name"] for check in document["checks"]] == [
        "signature", "qe_report_data", "qe_signer", "certificates", "qe_report", "chain",
    ]  # fmt: skip
    assert wrong(found) == {}
    quote = document["quote"]
    assert quote["type"] == "SGX ECDSA"
    assert quote["mrsigner"] == (b"s" * 32).hex()
    assert quote["report_data"] == bytes(range(64)).hex()
    assert (quote["qe_svn"], quote["pce_svn"], quote["isvprodid"], quote["isvsvn"]) == (5, 6, 2, 3)
    assert (quote["config_svn"], quote["config_id"]) == (4, (b"i" * 64).hex())
    assert quote["attribute_names"] == ["INIT", "MODE64BIT"]
    assert quote["fmspc"] == "00906ea10000"
    assert quote["pceid"] == "0001"
    assert quote["qe_report"]["isvprodid"] == 1
    assert [each["subject"] for each in quote["certificates"]] == [
        "CN=Test PCK",
        "CN=Test Platform CA",
        "CN=Test Root CA",
    ]
    said = " ".join(document["not_checked"])
    assert "revoked" in said
    assert "REPORTDATA" in said
    json.dumps(document)


def test_another_root_is_not_intels(platform: Platform, tmp_path: Path) -> None:
    found = look(tmp_path, platform.quote(body=BODY.pack()))
    assert wrong(found) == {"chain": "root"}
    assert not found.sound
    assert found.document["verified"] is False


def test_intels_root_is_the_published_one() -> None:
    root = intel.root()
    published = "44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3"
    assert root.fingerprint(hashes.SHA256()).hex() == published
    assert "CN=Intel SGX Root CA" in root.subject.rfc4514_string()
    root.verify_directly_issued_by(root)


def test_a_localnets_quote_is_simulated_and_rejected(tmp_path: Path) -> None:
    found = look(tmp_path, Quoter(development_pki(tmp_path / "pki")).quote("a7" * 32, bytes(64)))
    assert not found.sound
    assert found.document["simulated"] is True
    assert wrong(found) == {"qe_signer": "qe_signer", "chain": "simulated"}
    assert "SIMULATED" in found.document["warnings"][0]
    assert any("DEBUG" in warning for warning in found.document["warnings"])


@pytest.mark.parametrize(
    ("at", "name", "cause"),
    [
        (112, "signature", "signature"),
        (440, "signature", "signature"),
        (505, "signature", "attestation_key"),
        (600, "qe_report", "qe_report"),
        (564 + 128, "qe_signer", "qe_signer"),
        (960, "qe_report", "qe_report"),
        (1014, "qe_report_data", "qe_report_data"),
    ],
)
def test_what_was_altered_is_named(trusted: Platform, tmp_path: Path, at: int, name: str, cause: str) -> None:
    data = bytearray(trusted.quote(body=BODY.pack()))
    data[at] ^= 0xFF
    found = look(tmp_path, bytes(data))
    assert not found.sound
    assert wrong(found)[name] == cause


def test_a_quoting_enclave_of_somebody_else(trusted: Platform, tmp_path: Path) -> None:
    found = look(
        tmp_path,
        trusted.quote(body=BODY.pack(), qe=Report(b"q" * 32, b"z" * 32, bytes(64), attributes=PRODUCTION)),
    )
    assert wrong(found) == {"qe_signer": "qe_signer"}
    found = look(tmp_path, trusted.quote(body=BODY.pack(), qe=Report(b"q" * 32, QE_SIGNER, bytes(64))))
    assert wrong(found) == {"qe_signer": "qe_signer"}


def test_the_root_may_stand_in_the_middle_and_lines_may_have_any_length(
    trusted: Platform, tmp_path: Path
) -> None:
    chain = trusted.chain(trusted.leaf, trusted.root, trusted.middle)
    assert look(tmp_path, trusted.quote(body=BODY.pack(), certification=chain)).sound
    short = b"".join(
        b"-----BEGIN CERTIFICATE-----\n"
        + base64.encodebytes(each.public_bytes(serialization.Encoding.DER))
        + b"-----END CERTIFICATE-----\r\n"
        for each in (trusted.leaf, trusted.middle, trusted.root)
    )
    assert look(tmp_path, trusted.quote(body=BODY.pack(), certification=short + b"\0")).sound


def test_a_chain_of_strangers(trusted: Platform, tmp_path: Path) -> None:
    other = Platform()
    chain = trusted.chain(other.leaf, other.middle, trusted.root)
    assert wrong(look(tmp_path, trusted.quote(body=BODY.pack(), certification=chain))) == {
        "qe_report": "qe_report", "chain": "chain",
    }  # fmt: skip
    found = look(tmp_path, trusted.quote(body=BODY.pack(), certification=b"nonsense"))
    assert wrong(found) == {"certificates": "chain"}
    assert found.document["verified"] is False


def test_another_time(trusted: Platform, tmp_path: Path) -> None:
    later = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=3)
    assert wrong(look(tmp_path, trusted.quote(body=BODY.pack()), at=later)) == {"chain": "expired"}


@pytest.mark.parametrize("kind", [1, 2, 3])
def test_a_quote_without_certificates_says_what_is_open(trusted: Platform, tmp_path: Path, kind: int) -> None:
    found = look(tmp_path, trusted.quote(body=BODY.pack(), kind=kind, certification=bytes(404)))
    assert found.sound
    assert found.document["verified"] is False
    assert any("certificate chain" in text for text in found.document["not_checked"])
    assert [check["name"] for check in found.document["checks"]] == [
        "signature",
        "qe_report_data",
        "qe_signer",
    ]


@pytest.mark.parametrize(("version", "size"), [(4, 584), (5, 584), (5, 648)])
def test_a_trust_domains_quote(trusted: Platform, tmp_path: Path, version: int, size: int) -> None:
    body = (bytes(range(16)) + TD_BODY)[:520] + bytes(range(64)) + b"\x05" * 64
    found = look(tmp_path, trusted.quote(version, 0x81, body[:size]) + bytes(70))
    quote = found.document["quote"]
    assert found.sound
    assert found.document["mrenclave"] is None
    assert quote["type"] == "TDX ECDSA"
    assert quote["mrtd"] == body[136:184].hex()
    assert quote["rtmr"] == [body[at : at + 48].hex() for at in (328, 376, 424, 472)]
    assert quote["report_data"] == bytes(range(64)).hex()
    assert quote["tee_tcb_svn"] == bytes(range(16)).hex()
    assert ("mr_service_td" in quote) == (size == 648)
    assert quote["debug"] == bool(body[120] & 1)


@pytest.mark.parametrize("version", [4, 5])
def test_an_enclaves_quote_of_a_later_version(trusted: Platform, tmp_path: Path, version: int) -> None:
    found = look(tmp_path, trusted.quote(version, 0, BODY.pack()))
    assert found.sound
    assert found.document["mrenclave"] == (b"e" * 32).hex()


def test_an_epid_quote_is_recognised_and_not_verified(tmp_path: Path) -> None:
    head = struct.pack("<HH4sHHI32s", 2, 1, b"\x01\x0a\0\0", 3, 4, 0, b"b" * 32)
    found = look(tmp_path, head + BODY.pack() + struct.pack("<I", 680) + bytes(680))
    document = found.document
    assert found.sound
    assert document["verified"] is None
    assert document["quote"]["type"] == "SGX EPID"
    assert document["quote"]["sign_type"] == "linkable"
    assert document["quote"]["epid_group_id"] == "00000a01"
    assert document["mrenclave"] == (b"e" * 32).hex()
    assert any("EPID" in text for text in document["not_checked"])


@pytest.mark.parametrize(
    "text",
    [lambda data: data.hex(), lambda data: "0x" + data.hex(), lambda data: base64.encodebytes(data).decode()],
)
def test_quotes_written_as_text(trusted: Platform, tmp_path: Path, text) -> None:
    assert look(tmp_path, text(trusted.quote(body=BODY.pack())).encode()).sound


@pytest.mark.parametrize("version", [3, 4, 5])
def test_every_truncation_is_refused(platform: Platform, tmp_path: Path, version: int) -> None:
    whole = platform.quote(version, 0, BODY.pack())
    for size in [*range(0, 700, 7), *range(700, len(whole), 101), len(whole) - 1]:
        with pytest.raises(Failed):
            look(tmp_path, whole[:size])


def test_bytes_behind_a_quote_are_told(trusted: Platform, tmp_path: Path) -> None:
    whole = trusted.quote(body=BODY.pack())
    found = look(tmp_path, whole + b"\0\1")
    assert found.sound
    assert found.document["verified"] is True
    assert any("2 bytes behind the quote" in text for text in found.document["warnings"])
    assert look(tmp_path, whole + bytes(70)).document["warnings"] == []


def test_a_quote_in_something_else(trusted: Platform, tmp_path: Path) -> None:
    """Open Enclave's header, a certificate, a message: found by who quoted, and told where it is."""
    whole = trusted.quote(4, 0, BODY.pack())
    header = struct.pack("<IIQ", 1, 2, len(whole))
    found = look(tmp_path, header + whole)
    assert found.document["verified"] is True
    assert found.document["offset"] == 16
    assert any("offset 16" in text for text in found.document["warnings"])
    pem = f"-----BEGIN CERTIFICATE-----\n{base64.encodebytes(header + whole).decode()}-----END CERTIFICATE-----\n"
    assert look(tmp_path, pem.encode()).document["offset"] == 16
    several = look(tmp_path, b"x" * 100 + whole + b"x" + whole)
    assert several.document["offset"] == 100
    assert any(text.startswith("2 quotes are in the file") for text in several.document["warnings"])
    with pytest.raises(Failed):
        look(tmp_path, header + whole[:500])


@pytest.mark.parametrize(
    "text",
    [
        lambda quote: json.dumps({"kind": 4, "QuoteHex": quote.hex().upper(), "held": "010203"}),
        lambda quote: json.dumps([{"quote": base64.urlsafe_b64encode(quote).decode().rstrip("=")}, None, 7]),
        lambda quote: json.dumps(base64.b64encode(quote).decode()),
        lambda quote: f"-----BEGIN QUOTE-----\r\n{base64.b64encode(quote).decode()}\r\n-----END QUOTE-----",
        lambda quote: f"# made on 2026-01-31\n0x{quote.hex()}\n",
        lambda quote: f"\n{quote.hex()}\n{quote.hex()}\n",
    ],
)
def test_quotes_in_texts_of_others(trusted: Platform, tmp_path: Path, text) -> None:
    assert look(tmp_path, text(trusted.quote(body=BODY.pack())).encode()).document["verified"] is True


def test_two_quotes_in_a_text_are_not_guessed_from(platform: Platform, tmp_path: Path) -> None:
    one, two = (platform.quote(version, 0, BODY.pack()) for version in (3, 4))
    for text in (f"{one.hex()}\n{two.hex()}\n", json.dumps({"a": one.hex(), "b": {"c": two.hex()}})):
        with pytest.raises(Failed, match="2 quotes"):
            look(tmp_path, text.encode())
    with pytest.raises(Failed, match="no signed enclave"):
        look(tmp_path, json.dumps({"quote": one.hex()[:-3] + "x"}).encode())
    with pytest.raises(Failed, match="no signed enclave"):
        look(tmp_path, b"[" * 100_000)


@given(data=st.data())
@settings(max_examples=150)
def test_any_change_is_noticed_or_refused(platform: Platform, tmp_path_factory, data: st.DataObject) -> None:
    whole = platform.quote(data.draw(st.sampled_from([3, 4, 5])), 0, BODY.pack())
    at, bit = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(0, 7))
    changed = bytearray(whole)
    changed[at] ^= 1 << bit
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("error")
        patch.setattr(intel, "root", lambda: platform.root)
        try:
            found = look(tmp_path_factory.mktemp("quote"), bytes(changed))
        except Failed as failure:
            assert "\n" not in failure.message
            return
    assert not found.document["verified"]
    # Only a quote that says it brings no certificates is not wrong, but open.
    assert not found.sound or "PPID" in found.document["quote"]["certification"]


def collateral(folder: Path, **changes: object) -> Path:
    """Collateral as dcap-qvl writes it, that fits nothing."""
    text = {
        "id": "SGX",
        "version": 3,
        "issueDate": "2026-01-31T00:00:00Z",
        "nextUpdate": "2026-03-01T00:00:00Z",
    }
    entries = {
        "pck_crl_issuer_chain": "", "root_ca_crl": "00", "pck_crl": "00", "tcb_info_issuer_chain": "",
        "tcb_info": json.dumps(text), "tcb_info_signature": "00" * 64, "qe_identity_issuer_chain": "",
        "qe_identity": json.dumps(text), "qe_identity_signature": "00" * 64, **changes,
    }  # fmt: skip
    file = folder / "collateral.json"
    file.write_text(json.dumps(entries))
    return file


def test_collateral_that_does_not_fit(trusted: Platform, tmp_path: Path) -> None:
    found = look(tmp_path, trusted.quote(body=BODY.pack()), collateral=collateral(tmp_path))
    assert wrong(found) == {"tcb": "collateral"}
    assert found.document["tcb"] is None
    assert not found.sound
    odd = collateral(tmp_path, tcb_info="[1]", qe_identity="{")
    assert wrong(look(tmp_path, trusted.quote(body=BODY.pack()), collateral=odd)) == {"tcb": "collateral"}


@pytest.mark.parametrize("text", ["", "{}", "[]", "\x00", '{"tcb_info": 1}'])
def test_what_is_no_collateral(trusted: Platform, tmp_path: Path, text: str) -> None:
    (tmp_path / "collateral.json").write_text(text)
    with pytest.raises(Missing):
        look(tmp_path, trusted.quote(body=BODY.pack()), collateral=tmp_path / "collateral.json")
    with pytest.raises(Missing):
        look(tmp_path, trusted.quote(body=BODY.pack()), collateral=tmp_path / "nothing.json")


def test_the_command(trusted: Platform, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "quote"
    file.write_bytes(trusted.quote(body=BODY.pack()))
    assert main(["measure", str(file)]) == 0
    shown = capsys.readouterr().out
    assert "Intel SGX Root CA" in shown
    for field in (
        "CPUSVN",
        "MISCSELECT",
        "ISVEXTPRODID",
        "CONFIGID",
        "QE SVN",
        "auth data",
        "CN=Test Platform CA",
    ):
        assert field in shown
    # The enclave's REPORTDATA, and the quoting enclave's, which vouches for the key.
    assert bytes(range(32)).hex() in shown
    assert shown.count("REPORTDATA") == 3
    assert "not checked" in shown
    assert main(["measure", str(file), "--json", "--at", "2019-01-01"]) == 1
    assert json.loads(capsys.readouterr().out)["verified"] is False
    assert main(["measure", str(file), "--at", "soon"]) == 2
    file.write_bytes(Quoter(development_pki(tmp_path / "pki")).quote("a7" * 32, bytes(64)))
    assert main(["measure", str(file)]) == 1
    assert "SIMULATED" in capsys.readouterr().out
