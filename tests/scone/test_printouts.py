"""Printouts of every generation read; damaged ones are refused, never guessed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.scone.printed import BLOCKS, ENCRYPTED, HASH, KEY, TAG, V2018, V2019, V2022, V2023, WARNING
from workflows.core.failure import Failed
from workflows.scone import printouts
from workflows.scone.printouts import FspfLine, Unreadable


def test_enclave_hash():
    assert printouts.enclave_hash(HASH + "\n") == HASH
    assert printouts.enclave_hash(f"{WARNING}\r\n{HASH}\r\n") == HASH


@pytest.mark.parametrize(
    "text",
    ["", "Python 3.7.3\n", HASH[:-1], HASH.upper(), f"x{HASH}", f"Enclave hash: {HASH}", f"{HASH}\n{KEY}\n"],
)
def test_enclave_hash_refused(text):
    with pytest.raises(Unreadable):
        printouts.enclave_hash(text)


@pytest.mark.parametrize(
    ("text", "heap", "mode", "scone", "dlopen"),
    [
        (V2018, 2**31, "sim", None, "yes (protected)"),
        (V2019, 2**30, "hw", None, "no"),
        (V2022, 2**26, "sim", "5.7.0", None),
        (V2023, 2**28, "hw", "5.8.0", "yes (unprotected)"),
    ],
)
def test_settings_of_every_generation(text, heap, mode, scone, dlopen):
    for variant in (
        text,
        text.replace("\n", "\r\n"),
        f"{WARNING}\n{text}",
        text + "SCONE_HEAP=1\nEnclave hash: 00\n",
    ):
        read = printouts.settings(variant)
        assert (read.mrenclave, read.heap, read.mode, read.scone, read.dlopen) == (
            HASH,
            heap,
            mode,
            scone,
            dlopen,
        )
        assert read.simulated == (mode == "sim")


def test_settings_keeps_what_it_does_not_know():
    read = printouts.settings(V2023.replace("SCONE_TCS=8", "SCONE_NEW_THING=a b\nSCONE_TCS=8"))
    assert read.settings["SCONE_NEW_THING"] == "a b"
    assert read.settings["SCONE_CONFIG_ID"] == "<not specified>"
    assert (read.threads, read.musl) == (8, "1.2.4")
    assert printouts.settings(V2018).revision == "b6a40e091e2adb253f019401723d2a734e887a74"


PREFIXES = [
    "api_1       | ",
    "hello-app  | ",
    "#12 3.41 ",
    "#7 ",
    "2022-10-21T08:24:42.437543714Z ",
    "2022-10-21T08:24:42+02:00 ",
    "app-1  | 2022-10-21T08:24:42.437543714Z #12 0.3 ",
    "\x1b[33mapi_1       |\x1b[0m ",
    "  50% done\r",
]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_as_logs_keep_them(prefix, end):
    def kept(text):
        return end.join(prefix + line for line in text.split("\n"))

    for text in (V2018, V2019, V2022, V2023):
        assert printouts.settings(kept(text)) == printouts.settings(text)
    assert printouts.enclave_hash(kept(HASH + "\n")) == HASH
    assert printouts.keytag(kept(ENCRYPTED)) == (KEY, TAG)
    for block in BLOCKS.values():
        assert printouts.protect_block(kept(block)) == printouts.protect_block(block)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Enclave hash"),
        (V2022.replace(HASH, HASH[:-4]), "64 hex digits"),
        (V2022.replace("export SCONE_HEAP=67108864\n", ""), "no SCONE_HEAP"),
        (V2022.replace("67108864", "64M"), "not a number"),
        (V2022.replace("=sim", "=gpu"), "none of sim"),
        ("SCONE_HEAP=1\n" + V2022, "twice"),
    ],
)
def test_settings_refused(text, said):
    with pytest.raises(Unreadable, match=said):
        printouts.settings(text)


@pytest.mark.parametrize(
    ("line", "read"),
    [
        (
            f"Created empty file system protection file in fspf.pb. AES-GCM tag: {TAG}",
            FspfLine("created", "fspf.pb", TAG),
        ),
        (
            f"Added region /a b to file system protection file /my app/f.pb new AES-GCM tag: {TAG}",
            FspfLine("region", "/my app/f.pb", TAG, region="/a b"),
        ),
        (
            f"Added files to file system protection file /fspf.pb new AES-GCM tag: {TAG}",
            FspfLine("files", "/fspf.pb", TAG),
        ),
        (ENCRYPTED, FspfLine("encrypted", "fspf.pb", TAG, key=KEY)),
        (f"#9 12.345 {ENCRYPTED}\r", FspfLine("encrypted", "fspf.pb", TAG, key=KEY)),
    ],
)
def test_fspf_lines(line, read):
    assert printouts.fspf_line(line) == read
    assert printouts.fspf_lines(f"{WARNING}\n{line}\nother") == [read]


@pytest.mark.parametrize(
    "line", ["", ENCRYPTED[:-1], ENCRYPTED + "0", ENCRYPTED.replace(TAG, TAG.upper()), "x" + ENCRYPTED]
)
def test_damaged_fspf_lines_are_refused(line):
    with pytest.raises(Unreadable):
        printouts.fspf_line(line)


def test_keytag_gives_the_key_first():
    assert printouts.keytag(f"{WARNING}\n{ENCRYPTED}\n") == (KEY, TAG)
    with pytest.raises(Unreadable, match="missing"):
        printouts.keytag("nothing")
    with pytest.raises(Unreadable, match="2 times"):
        printouts.keytag(f"{ENCRYPTED}\n{ENCRYPTED.replace(TAG, TAG[::-1])}")


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_of_protect_fs(name):
    for log in (BLOCKS[name], f"Step 3/9 : RUN x\n{BLOCKS[name]} ---> 1f2e\n".replace("\n", "\r\n")):
        read = printouts.protect_block(log)
        assert (read.fspf_key, read.fspf_tag, read.mrenclave) == (KEY, TAG, HASH)
        assert read.entrypoint == ("python /app/app.py" if name == "2020-11" else None)


def test_block_refusals():
    with pytest.raises(Unreadable, match="missing"):
        printouts.protect_block("Successfully built 1f2e\n")
    with pytest.raises(Failed, match="FSPF key has 63"):
        printouts.protect_block(BLOCKS["2019"].replace(KEY, KEY[1:]))
    with pytest.raises(Unreadable, match="2 times"):
        printouts.protect_block(BLOCKS["2019"] + BLOCKS["2019"].replace(TAG, TAG[::-1]))


noise = st.text(max_size=60).filter(lambda line: "\n" not in line)
whole = st.lists(
    noise
    | st.sampled_from([*V2023.split("\n"), *V2018.split("\n"), ENCRYPTED, *BLOCKS["2020-11"].split("\n")])
)
READERS = [
    printouts.enclave_hash,
    printouts.settings,
    printouts.keytag,
    printouts.protect_block,
]


@given(whole, st.sampled_from(READERS))
def test_any_text_is_read_or_refused(lines, reader):
    try:
        read = reader("\n".join(lines))
    except Failed as error:
        assert error.message
    else:
        assert read


@given(st.lists(noise), st.lists(noise))
def test_noise_around_does_not_matter(before, after):
    assert printouts.keytag("\n".join([*before, ENCRYPTED, *after])) == (KEY, TAG)
