"""Load for gateways: wrk for many short answers, a raw client of our own for streams."""

import asyncio
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

BODY = '{"model":"tiny","messages":[{"role":"user","content":"Say something short, please."}]}'
STREAM = BODY.replace('"tiny",', '"tiny","stream":true,')
_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


@dataclass(frozen=True)
class Load:
    """What one round of wrk measured. Latencies in milliseconds."""

    requests_per_second: float
    p50: float
    p99: float
    failed: int


@dataclass(frozen=True)
class Streams:
    """What one round of streams measured: how late each token came, in milliseconds."""

    whole: int
    broken: int
    p50: float
    p99: float
    gap_p99: float


def wrk(
    url: str, headers: dict[str, str], connections: int, seconds: float, script: Path, core: str
) -> Load:
    """One round; raises CalledProcessError."""
    lines = [f'wrk.headers["{name}"] = "{value}"' for name, value in headers.items()]
    script.write_text(
        f"wrk.method = 'POST'\nwrk.body = '{BODY}'\n"
        'wrk.headers["Content-Type"] = "application/json"\n' + "\n".join(lines) + "\n"
    )
    command = ["taskset", "-c", core, "wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s"]
    said = subprocess.run(
        [*command, "--latency", "--timeout", "20s", "-s", script, url],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    sockets = re.search(r"connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
    assert rate is not None, said
    failed = (int(bad[1]) if bad else 0) + (sum(map(int, sockets.groups())) if sockets else 0)
    return Load(float(rate[1]), latency(said, 50), latency(said, 99), failed)


def latency(said: str, percentile: int) -> float:
    """A percentile of what wrk printed with `--latency`, in milliseconds."""
    found = re.search(rf"^\s+{percentile}%\s+([\d.]+)(us|ms|s|m)\s*$", said, re.M)
    assert found is not None, said
    return float(found[1]) * _UNITS[found[2]]


async def streams(port: int, path: str, headers: dict[str, str], count: int) -> Streams:
    """`count` streams at once, begun within a second; every token's lateness and gap."""
    late: list[float] = []
    gaps: list[float] = []
    ends = await asyncio.gather(
        *(_stream(port, path, headers, number / count, late, gaps) for number in range(count))
    )
    late.sort()
    gaps.sort()
    at = lambda values, share: values[min(len(values) - 1, int(len(values) * share))] * 1000  # noqa: E731
    whole = sum(ends)
    return Streams(whole, count - whole, at(late, 0.5), at(late, 0.99), at(gaps, 0.99))


async def _stream(
    port: int,
    path: str,
    headers: dict[str, str],
    delay: float,
    late: list[float],
    gaps: list[float],
) -> bool:
    await asyncio.sleep(delay)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    body = STREAM.encode()
    writer.write(
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n{lines}"
        f"Content-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
    before, done = None, False
    try:
        async with asyncio.timeout(120):
            while line := await reader.readline():
                if line.startswith(b"data: {") and (at := line.rfind(b'"t":')) > 0:
                    now = time.monotonic()
                    late.append(now - float(line[at + 4 :].strip().rstrip(b"}")))
                    if before is not None:
                        gaps.append(now - before)
                    before = now
                elif line.startswith(b"data: [DONE]"):
                    done = True
                elif line == b"0\r\n":
                    break
    except (TimeoutError, ConnectionError):
        return False
    finally:
        writer.close()
    return done
