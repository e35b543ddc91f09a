"""What SCONE's tools print, in the shapes that its documentation and public logs show."""

from __future__ import annotations

import hashlib

HASH = "9c56db536e046a5fb84a5c482ce86e6592071dff75dc0e3eb27d701cf2c40508"
KEY = "369a01e162154de8b3dffa28f83a3c9400dfc8424ab9385b7c148387587c5b68"
TAG = "337d953cc21bd098217177bc09444498"
ENCRYPTED = f"Encrypted file system protection file fspf.pb AES-GCM tag: {TAG} key: {KEY}"
WARNING = "[SCONE|WARN] src/enclave/dispatch.c:203:print_version(): Application runs in SGX simulation mode."

# The shapes of five generations, with the fields the documentation shows.
V2018 = f"""\
export SCONE_QUEUES=4
export SCONE_CONFIG=/etc/sgx-musl.conf
export SCONE_HEAP=2147483648
export SCONE_STACK=81920
export SCONE_MODE=sim
export SCONE_ALLOW_DLOPEN=yes (protected)
export SCONE_MPROTECT=no
Revision: b6a40e091e2adb253f019401723d2a734e887a74 (Fri Jan 26 07:44:44 2018 +0100)
Branch: master (dirty)

Enclave hash: {HASH}
Hello world
"""
V2019 = f"""\
export SCONE_LOG=3
export SCONE_HEAP=1073741824
export SCONE_STACK=4194304
export SCONE_ESPINS=10000
export SCONE_MODE=hw
export SCONE_ALLOW_DLOPEN=no
musl version: 1.1.20
Revision: 20d71e5c (Fri Jul 19 18:56:03 2019 +0200)
Branch: sergei-iexec-all-features (dirty)

Enclave hash: {HASH}
"""
V2022 = f"""\
export SCONE_TCS=8
export SCONE_HEAP=67108864
export SCONE_STACK=2097152
export SCONE_MODE=sim
export SCONE_FORK=no
musl version: 1.1.24
SCONE version: 5.7.0 (Tue Jan 18 08:45:24 2022 +0100)
Enclave hash: {HASH}
{WARNING}
"""
V2023 = f"""\
SCONE_TCS=8
SCONE_HEAP=268435456
SCONE_STACK=2097152
SCONE_MODE=hw
SCONE_ALLOW_DLOPEN=yes (unprotected)

SCONE_CONFIG_ID: <not specified>
musl version: 1.2.4
SCONE version: 5.8.0 (2023-06-08 15:13:27)
Enclave hash: {HASH}
"""

THREE = f"{KEY}|{TAG}|{HASH}"
BLOCKS = {
    "2019": f"\n{'#' * 56}\nMREnclave: {THREE}\n{'#' * 56}\n\n",
    "2020-05": f"Application's fingerprint (use this when deploying your app onchain):\n{THREE}\n",
    "2020-05, one line": f"Application's fingerprint (use this when deploying your app onchain): {THREE}\n",
    "2020-11": (
        f'Your application fingerprint (mrenclave) is ready:\n{"#" * 69}\niexec.json:\n"app": {{ \n'
        f' "owner" : ...\n "name": ...\n  ...\n "mrenclave": "{THREE}|python /app/app.py"\n}}\n{"#" * 69}\n'
        "Hint: Replace 'mrenclave' before doing 'iexec app deploy' step.\n"
    ),
}

MRENCLAVE = "345bc79902e646d52d9271d0509da045550f537f7e1d7b8a4da8d6805733718c"
MODULUS = "c5" * 384
MRSIGNER = hashlib.sha256(bytes.fromhex(MODULUS)).hexdigest()
# The field names and the sample values that SCONE's documentation shows.
TEXT = f"""\
Header:            06000000e10000000000010000000000
Vendor:            00000000
Date:              2023-06-08
Header #2:         01010000600000006000000001000000
Software defined:  00000000
Modulus:           {MODULUS[:400]}
                   {MODULUS[400:]}
Exponent:          03000000
Signature:         {"a1" * 384}
Misc Select:       00000000
Misc Mask:         ffffffff
Attributes:        06000000000000000300000000000000
    Debug:             yes
    64-bit:            yes
    Provisioning key:  no
    EINITTOKEN key:    no
    XFRM:              0300000000000000
Attributes Mask:   fdffffffffffffff1b00000000000000
MRENCLAVE:         {MRENCLAVE}
ISV Product ID:    1
ISV SVN:           2
Q1:                {"b2" * 384}
Q2:                {"c3" * 384}
"""
YAML = f"""\
---
header: "06000000e10000000000010000000000"
attributes: "04000000000000000300000000000000"
debug: no
mrenclave: {MRENCLAVE}
isv_product_id: 1
isv_svn: 2
modulus: {MODULUS}
"""
