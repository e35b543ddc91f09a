"""Intel's public facts: the root of its SGX certificates, who signs its quoting enclaves, what a PCK says.

The root is the one at certificates.trustedservices.intel.com (IntelSGXRootCA.der), SHA-256
44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3, valid to the end of 2049.
"""

from __future__ import annotations

from cryptography import x509

QUOTING_ENCLAVES = {
    "8c4f5775d796503e96137f77c68a829a0056ac8ded70140b081b094490c57bff": "Intel's SGX quoting enclave",
    "dc9e2a7c6f948f17474e34a7fc43ed030f7c1563f1babddf6340c82e0e54a8c5": "Intel's TD quoting enclave",
}
SGX_EXTENSIONS = x509.ObjectIdentifier("1.2.840.113741.1.13.1")
_SGX_OID = bytes.fromhex("060a2a864886f84d010d01")
_ROOT = b"""\
-----BEGIN CERTIFICATE-----
MIICjzCCAjSgAwIBAgIUImUM1lqdNInzg7SVUr9QGzknBqwwCgYIKoZIzj0EAwIw
aDEaMBgGA1UEAwwRSW50ZWwgU0dYIFJvb3QgQ0ExGjAYBgNVBAoMEUludGVsIENv
cnBvcmF0aW9uMRQwEgYDVQQHDAtTYW50YSBDbGFyYTELMAkGA1UECAwCQ0ExCzAJ
BgNVBAYTAlVTMB4XDTE4MDUyMTEwNDUxMFoXDTQ5MTIzMTIzNTk1OVowaDEaMBgG
A1UEAwwRSW50ZWwgU0dYIFJvb3QgQ0ExGjAYBgNVBAoMEUludGVsIENvcnBvcmF0
aW9uMRQwEgYDVQQHDAtTYW50YSBDbGFyYTELMAkGA1UECAwCQ0ExCzAJBgNVBAYT
AlVTMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEC6nEwMDIYZOj/iPWsCzaEKi7
1OiOSLRFhWGjbnBVJfVnkY4u3IjkDYYL0MxO4mqsyYjlBalTVYxFP2sJBK5zlKOB
uzCBuDAfBgNVHSMEGDAWgBQiZQzWWp00ifODtJVSv1AbOScGrDBSBgNVHR8ESzBJ
MEegRaBDhkFodHRwczovL2NlcnRpZmljYXRlcy50cnVzdGVkc2VydmljZXMuaW50
ZWwuY29tL0ludGVsU0dYUm9vdENBLmRlcjAdBgNVHQ4EFgQUImUM1lqdNInzg7SV
Ur9QGzknBqwwDgYDVR0PAQH/BAQDAgEGMBIGA1UdEwEB/wQIMAYBAf8CAQEwCgYI
KoZIzj0EAwIDSQAwRgIhAOW/5QkR+S9CiSDcNoowLuPRLsWGf/Yi7GSX94BgwTwg
AiEA4J0lrHoMs+Xo5o/sX6O9QWxHRAvZUGOdRQ7cvqRXaqI=
-----END CERTIFICATE-----
"""


def root() -> x509.Certificate:
    """Intel SGX Root CA."""
    return x509.load_pem_x509_certificate(_ROOT)


def pck_facts(leaf: x509.Certificate) -> dict[str, str | None]:
    """FMSPC, PCEID and PPID in hex from a PCK certificate's SGX extension; None for what is not there."""
    try:
        value = leaf.extensions.get_extension_for_oid(SGX_EXTENSIONS).value
        raw = value.value if isinstance(value, x509.UnrecognizedExtension) else b""
    except Exception:  # the library has many ways to say that an extension is nonsense
        raw = b""
    return {
        name: _octets(raw, arc, size)
        for name, arc, size in (("fmspc", 4, 6), ("pceid", 3, 2), ("ppid", 1, 16))
    }


def _octets(raw: bytes, arc: int, size: int) -> str | None:
    """The OCTET STRING of `size` bytes behind the object identifier …13.1.`arc`."""
    mark = _SGX_OID + bytes((arc, 4, size))
    at = raw.find(mark)
    return raw[at + len(mark) : at + len(mark) + size].hex() if at >= 0 else None
