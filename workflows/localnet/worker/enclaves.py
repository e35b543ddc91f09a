"""The three enclaves of a task, one after the other, with encrypted volumes between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from workflows.core.failure import Failed
from workflows.localnet.runtime.refusals import NotAttested
from workflows.localnet.worker.failures import failed
from workflows.localnet.worker.phases import Phases
from workflows.localnet.worker.reports import Expected
from workflows.localnet.worker.stage import Room, Stage

if TYPE_CHECKING:
    from workflows.containers.engine import Image

SIDE_MEMORY = 3 << 30
BESIDE_HEAP = 3 << 30  # the interpreter itself and /dev/shm count as well
VOLUMES = {
    "pre-compute": ("iexec_in",),
    "app": ("iexec_in", "iexec_out"),
    "post-compute": ("iexec_out", "post-compute-tmp"),
}
ALL_VOLUMES = ("iexec_in", "iexec_out", "post-compute-tmp")


@dataclass
class Enclaves:
    """What all stages of a task share. `seconds`: time limit of each; `side`: the SMS's TEE properties.

    `attested`: the stages whose enclaves got their sessions; `refused`: the one that was refused its own.
    """

    room: Room
    phases: Phases
    session: str
    expected: Expected
    seconds: int
    side: Mapping[str, Any]
    internet: bool
    attested: list[str] = field(default_factory=list)
    refused: str = ""

    def run(self, image: Image, heap: int | None, *, pre: bool, pre_internet: bool) -> None:
        """Pre-compute where needed, the app, post-compute. Failed with the cause of the first that fails."""
        self.phases.change("attestation", "running")
        try:
            self._all(image, heap, pre, pre_internet)
        except Exception:
            self._settle()
            raise

    def _all(self, image: Image, heap: int | None, pre: bool, pre_internet: bool) -> None:
        prefix = f"creamtea-{self.expected.task[2:18]}"
        with self.room.volumes(prefix, ALL_VOLUMES, image.id) as volumes:
            if pre:
                self._side("pre-compute", volumes, self.internet or pre_internet)
            else:
                self.phases.change("pre-compute", "done", "nothing to bring in")
            memory = (heap or 0) + BESIDE_HEAP
            self._stage("app", image.id, volumes, memory, heap, self.internet)
            self._side("post-compute", volumes, False)
        if self.expected.computed is None:
            raise Failed(
                "post-compute ended well and sent no result", name="POST_COMPUTE_SEND_COMPUTED_FILE_FAILED"
            )

    def _side(self, name: str, volumes: Mapping[str, str], internet: bool) -> None:
        properties = self.side[name.replace("-c", "C") + "Properties"]
        image = self.room.engine.image(str(properties["image"]))
        if image is None:
            raise Failed(
                f"the image of {name}, {properties['image']}, is not in the engine",
                "Start the localnet again: it builds the image.",
                name=f"{name.upper().replace('-', '_')}_IMAGE_MISSING",
            )
        self._stage(name, image.id, volumes, SIDE_MEMORY, int(properties["heapSizeInBytes"]), internet)

    def _stage(
        self,
        name: str,
        image: str,
        volumes: Mapping[str, str],
        memory: int,
        heap: int | None,
        internet: bool,
    ) -> None:
        stage = Stage(
            name=name,
            image=image,
            config_id=f"{self.session}/{name}",
            volumes={volume: volumes[volume] for volume in VOLUMES[name]},
            seconds=self.seconds,
            memory=memory,
            heap=heap,
            internet=internet,
        )
        with self.phases.phase(name):
            ended = self.room.run(stage, self.phases.record.add, lambda: self._saw(name), self.phases.cancel)
            if ended.code == 0:  # whether or not its line was seen: without a session nothing runs
                self._saw(name)
            if ended.code == NotAttested.exit_code and ended.refusal and name not in self.attested:
                self.refused = name
            if ended.code != 0 or ended.timed_out:
                raise failed(stage, ended, self.expected.causes.get(name, ()))

    def _saw(self, name: str) -> None:
        """An enclave got its session, so it attested."""
        if name not in self.attested:
            self.attested.append(name)
            last = name == "post-compute"
            self.phases.change("attestation", "done" if last else "running", ", ".join(self.attested))

    def _settle(self) -> None:
        """The task has failed: attestation only if that was refused to an enclave, else it is what it was."""
        if self.refused:
            self.phases.change("attestation", "failed", f"{self.refused} was refused")
        elif "post-compute" not in self.attested:  # else it is told already
            self.phases.change(
                "attestation", "done" if self.attested else "cancelled", ", ".join(self.attested) or None
            )
