"""What a processor says about an enclave (SGX) or a trust domain (TDX): the bodies of reports and quotes.

Source: Intel's sgx_report.h (384 bytes) and sgx_quote_4.h, sgx_quote_5.h (584 and 648 bytes).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

SIMULATED = "SIMULATED"  # in all that a localnet attests
DEBUG_ENCLAVE = bytes.fromhex("07000000000000000300000000000000")  # INIT, DEBUG, 64 bit: nothing is protected
_REPORT = struct.Struct("<16sI12x16s16s32s32x32s32x64sHHH42x16s64s")
_TD = struct.Struct("<16s48s48s8s8s8s48s48s48s48s48s48s48s48s64s")
_TD_1_5 = struct.Struct("<16s48s")
SIZE, TD_SIZE, TD_1_5_SIZE = _REPORT.size, _TD.size, _TD.size + _TD_1_5.size


@dataclass(frozen=True)
class Report:
    """What the processor says about an enclave; `report_data` is what the enclave says (64 bytes)."""

    mrenclave: bytes
    mrsigner: bytes
    report_data: bytes
    cpu_svn: bytes = bytes(16)
    misc_select: int = 0
    isv_ext_prod_id: bytes = bytes(16)
    attributes: bytes = DEBUG_ENCLAVE
    config_id: bytes = bytes(64)
    isv_prod_id: int = 0
    isv_svn: int = 0
    config_svn: int = 0
    isv_family_id: bytes = bytes(16)

    @property
    def debug(self) -> bool:
        """Whether a debugger may read the enclave."""
        return bool(self.attributes[0] & 0x2)

    def pack(self) -> bytes:
        """384 bytes."""
        for size, field in ((32, self.mrenclave), (32, self.mrsigner), (64, self.report_data)):
            if len(field) != size:
                raise ValueError(f"a report takes {size} bytes, not {len(field)}")
        return _REPORT.pack(
            self.cpu_svn,
            self.misc_select,
            self.isv_ext_prod_id,
            self.attributes,
            self.mrenclave,
            self.mrsigner,
            self.config_id,
            self.isv_prod_id,
            self.isv_svn,
            self.config_svn,
            self.isv_family_id,
            self.report_data,
        )

    @classmethod
    def unpack(cls, data: bytes) -> Report:
        """The report in 384 bytes."""
        cpu, misc, ext, attributes, enclave, signer, config, product, svn, config_svn, family, own = (
            _REPORT.unpack(data)
        )
        return cls(enclave, signer, own, cpu, misc, ext, attributes, config, product, svn, config_svn, family)


@dataclass(frozen=True)
class TdReport:
    """A trust domain: `mrtd` is its measurement, `rtmr` its four run-time registers (48 bytes each)."""

    tee_tcb_svn: bytes
    mrseam: bytes
    mrsigner_seam: bytes
    seam_attributes: bytes
    td_attributes: bytes
    xfam: bytes
    mrtd: bytes
    mr_config_id: bytes
    mr_owner: bytes
    mr_owner_config: bytes
    rtmr: tuple[bytes, bytes, bytes, bytes]
    report_data: bytes
    tee_tcb_svn2: bytes = b""
    mr_service_td: bytes = b""

    @property
    def debug(self) -> bool:
        """Whether the host may look into the domain."""
        return bool(self.td_attributes[0] & 0x1)

    @classmethod
    def unpack(cls, data: bytes) -> TdReport:
        """The report in 584 bytes (TDX 1.0) or 648 (TDX 1.5)."""
        (
            svn, seam, seam_signer, seam_attributes, attributes, xfam, mrtd, config, owner, owner_config,
            one, two, three, four, own,
        ) = _TD.unpack_from(data)  # fmt: skip
        svn2, service = _TD_1_5.unpack_from(data, _TD.size) if len(data) == TD_1_5_SIZE else (b"", b"")
        return cls(
            svn, seam, seam_signer, seam_attributes, attributes, xfam, mrtd, config, owner, owner_config,
            (one, two, three, four), own, svn2, service,
        )  # fmt: skip
