"""Change files at random for a time, and read them. Ends with an error at the first thing that is no clear error.

    python -m tests.trust.fuzz plan --seconds 60
    python -m tests.trust.fuzz plan --seconds 60 --engine atheris      # pip install atheris: guided by coverage

Prints how many files were read, and how many of them were accepted. A read of more than a second is an error too.
"""

import argparse
import json
import random
import resource
import sys
import time

LONGEST = 1.0  # seconds of processor time for one file
MEMORY = 8 << 30  # bytes of address space beyond what is used at the start
ODD = (b"", b"\x00", b"\xff" * 8, b"\x80" * 10, b"-1", b"1e999", b"null", b"true", b"[]", b"{}", b'""', b"NaN",
       b"9" * 30, b"[" * 300, b"\\u0000", "ä中".encode(), b"crc_num", b"&a [*a]", b"2020-99-99", b"<script>")


def changed(content: bytes, draw: random.Random) -> bytes:
    """A file with a few changes."""
    found = bytearray(content)
    for _ in range(draw.choice((1, 1, 1, 2, 3, 8))):
        place = draw.randrange(len(found) + 1)
        size = draw.choice((1, 1, 2, 4, 16, 100))
        piece = bytes(found[place:place + size])
        kind = draw.randrange(7)
        if kind == 0 and place < len(found):
            found[place] ^= 1 << draw.randrange(8)
        elif kind == 6:
            other = draw.randrange(len(found) + 1)
            found[place:place] = found[other:other + size]
        else:
            found[place:place + size] = (b"", piece * 2, draw.randbytes(len(piece)), draw.choice(ODD),
                                         draw.choice(ODD) + piece)[kind - 1 if kind else 0]
    return bytes(found[:1 << 20])


def at_random(kind: str, seconds: float, seed: int) -> dict[str, int]:
    """Change whole files until the time is over."""
    from tests.trust.readers import READERS, samples

    draw, end, count, accepted = random.Random(seed), time.monotonic() + seconds, 0, 0
    assert all(READERS[kind](sample) for sample in samples(kind)[:1])
    while time.monotonic() < end:
        content = changed(draw.choice(samples(kind)), draw)
        begin = time.process_time()
        try:
            accepted += READERS[kind](content)
        except BaseException:
            print(f"{kind}: file {count} of seed {seed}: {content[:2000]!r}", file=sys.stderr)
            raise
        assert time.process_time() - begin < LONGEST, (kind, content[:2000])
        count += 1
    return {"files": count, "accepted": accepted}


def with_atheris(kind: str, seconds: float, seed: int) -> None:
    """libFuzzer's loop; it ends the process itself, and prints how many files it has read."""
    import atheris

    with atheris.instrument_imports(include=["mindspore_gs", "src", "yaml", "json"]):
        from tests.trust.readers import FOLDER, READERS, samples
    corpus = FOLDER / "corpus"
    corpus.mkdir()
    for number, content in enumerate(samples(kind)):
        (corpus / str(number)).write_bytes(content)
    arguments = [sys.argv[0], str(corpus), f"-max_total_time={int(seconds)}", f"-seed={seed + 1}", "-timeout=5",
                 "-rss_limit_mb=8000", "-max_len=20000", "-verbosity=1", "-print_final_stats=1"]
    atheris.Setup(arguments, lambda content: READERS[kind](content) and None)
    atheris.Fuzz()


def main() -> None:
    """One kind of file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("checkpoint", "plan", "mindir", "slb", "record", "config"))
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--engine", choices=("random", "atheris"), default="random")
    options = parser.parse_args()
    if options.engine == "atheris":
        with_atheris(options.kind, options.seconds, options.seed)
        return
    from tests.trust.readers import samples

    samples(options.kind)
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()  # noqa: SIM115
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    print(json.dumps({"kind": options.kind, "seed": options.seed, "seconds": options.seconds,
                      **at_random(options.kind, options.seconds, options.seed)}), flush=True)


if __name__ == "__main__":
    main()
