"""Checks of this machine: programs, fonts, speech, pictures, faces, disk, GPU. Nothing here asks the
network but an engine for pictures that works elsewhere and is set up."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

from callsheet import __version__
from callsheet.doors.finding import Finding, Level, Site
from callsheet.errors import CallsheetError, EngineUnable
from callsheet.media.ffmpeg import Command, ffmpeg_version, reader, resolve_ffmpeg

PYTHONS = ((3, 11), (3, 14))
"""From the first, up to but without the second; as pyproject.toml says."""

NEEDED = {"encoders": ("libx264",), "filters": ("ass", "xfade")}
"""What ffmpeg is asked for, by the list that it stands in; the filter `ass` is libass."""

LEAST_GIB, FEW_GIB = 1.0, 10.0
"""Free disk below which a run fails, and below which a batch may."""


def python(site: Site) -> Finding:
    """Python and callsheet."""
    found = f"Python {platform.python_version()}, callsheet {__version__}"
    if not PYTHONS[0] <= sys.version_info[:2] < PYTHONS[1]:
        return Finding("python", Level.PROBLEM, found, "run callsheet with Python 3.11, 3.12 or 3.13")
    return Finding("python", Level.OK, found)


def ffmpeg(site: Site) -> Finding:
    """The ffmpeg that every stage uses, and whether it has the encoder and the filters they use."""
    path = resolve_ffmpeg()
    found = f"{ffmpeg_version()} at {path}"
    lacking = [name for kind, names in NEEDED.items() for name in sorted({*names} - _listed(kind))]
    if lacking:
        remedy = "set CALLSHEET_FFMPEG to one that has them, or leave it unset to use the one that is installed"
        return Finding("ffmpeg", Level.PROBLEM, f"{found} lacks {', '.join(lacking)}", remedy)
    named = site.settings.ffmpeg
    if named and not site.environment.get("CALLSHEET_FFMPEG"):
        return Finding("ffmpeg", Level.WARNING, f"{found}; CALLSHEET_FFMPEG in .env names {named}, which is not used",
                       "set CALLSHEET_FFMPEG in the environment itself")
    return Finding("ffmpeg", Level.OK, f"{found}, with libx264, libass and xfade")


def _listed(kind: str) -> set[str]:
    """Names that ffmpeg lists; each line is flags, name, meaning."""
    with reader(Command((f"-{kind}",), f"list its {kind}", timeout_s=20)) as out:
        lines = out.read().decode(errors="replace").splitlines()
    return {words[1] for line in lines if len(words := line.split()) > 1}


def fonts(site: Site) -> Finding:
    """The font of captions and drawn posters: found, and readable."""
    from PIL import ImageFont

    from callsheet.media.captions import FONT, fonts_folder

    remedy = "install fontpkg-noto-sans again"
    try:
        files = sorted(fonts_folder().glob("*.ttf"))
        names = {ImageFont.truetype(str(file), 24).getname()[0] for file in files}
    except (ImportError, OSError) as error:
        return Finding("fonts", Level.PROBLEM, f"{FONT} cannot be read ({error})", remedy)
    if FONT not in names:
        return Finding("fonts", Level.PROBLEM, f"{FONT} is not in {fonts_folder()}", remedy)
    return Finding("fonts", Level.OK, f"{FONT} in {fonts_folder()}")


def speech(site: Site) -> Finding:
    """Each engine of speech, and whether the one that `auto` takes can speak."""
    from callsheet.speech.choose import AUTO, ENGINES, choose

    key = site.settings.elevenlabs_api_key
    able = {name: make(site.settings).able() for name, make in ENGINES.items()}
    found = "; ".join(f"{name}: {reason or 'able'}" for name, reason in able.items())
    try:
        choose(AUTO, site.settings)
    except EngineUnable as error:
        return Finding("speech", Level.PROBLEM, found, error.fix)
    if able["espeak"]:
        return Finding("speech", Level.WARNING, found, "reinstall espeakng-loader: without it there is no speech "
                                                      "while ElevenLabs cannot be reached")
    return Finding("speech", Level.OK, found, "" if key else "set ELEVENLABS_API_KEY for more natural voices")


def pictures(site: Site) -> Finding:
    """Each engine for posters and clips, able or why not; and whether `auto` finds one that the fallback allows."""
    from callsheet.engines.choose import ENGINES, choose

    able = {name: make(site.settings).able() for name, make in ENGINES.items()}
    found = "; ".join(f"{name}: {each.reason or 'able'}" for name, each in able.items())
    ways = "; ".join(dict.fromkeys(each.remedy for each in able.values() if each.remedy))
    try:
        taken = choose("auto", site.settings).id.name
    except CallsheetError as error:
        return Finding("pictures", Level.PROBLEM, f"{found}; {error.what}", error.fix)
    return Finding("pictures", Level.OK, f"{found}; auto takes {taken}", ways)


def faces(site: Site) -> Finding:
    """Each engine of lip-sync, restored faces and larger pictures, and whether the quality gate compares faces; what
    the extra adds, and how to get it."""
    from callsheet.faces.choose import ENGINES, RESTORERS, UPSCALERS
    from callsheet.faces.identity import lacking

    able = {name: make(site.settings).able() for name, make in ENGINES.items()}
    able |= {name: make(site.settings).able() for name, make in RESTORERS.items()}
    able |= {name: make(site.settings).able() for name, make in UPSCALERS.items()}
    able["comparing faces"] = lacking()
    found = "; ".join(f"{name}: {'not able' if reason else 'able'}" for name, reason in able.items())
    return Finding("faces", Level.OK, found, "; ".join(dict.fromkeys(filter(None, able.values()))))


def disk(site: Site) -> Finding:
    """Free space where callsheet writes on this machine."""
    places = {"home": site.settings.home, "store": _folder(site.settings.store),
              "delivery": _folder(site.settings.delivery)}
    free = {name: shutil.disk_usage(_existing(place)).free / 2**30 for name, place in places.items() if place}
    found = ", ".join(f"{gib:.1f} GiB free for the {name}" for name, gib in free.items())
    least = min(free.values())
    if least >= FEW_GIB:
        return Finding("disk", Level.OK, found)
    return Finding("disk", Level.PROBLEM if least < LEAST_GIB else Level.WARNING, found,
                   "free some space, or set CALLSHEET_HOME, CALLSHEET_STORE or CALLSHEET_DELIVERY to a larger disk")


def _folder(place: str) -> Path | None:
    """None for a bucket."""
    if "://" not in place:
        return Path(place)
    parts = urlsplit(place)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def _existing(place: Path) -> Path:
    return next(folder for folder in (place.absolute(), *place.absolute().parents) if folder.exists())


def gpu_memory(site: Site) -> Finding:
    """What nvidia-smi says about each GPU of this machine."""
    program = shutil.which("nvidia-smi", path=site.environment.get("PATH", os.defpath))
    if program is None:
        return Finding("gpu memory", Level.OK, "no NVIDIA GPU on this machine (there is no nvidia-smi)")
    asked = [program, "--query-gpu=name,memory.free,memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=True)
        gpus = [_gpu(line) for line in done.stdout.splitlines() if line.strip()]
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        words = (getattr(error, "stderr", None) or getattr(error, "stdout", None) or str(error)).strip()
        return Finding("gpu memory", Level.WARNING, f"nvidia-smi failed: {words[-300:]}",
                       "mend the NVIDIA driver if GPU work is to run here")
    if not gpus:
        return Finding("gpu memory", Level.OK, "nvidia-smi lists no GPU")
    return Finding("gpu memory", Level.OK, "; ".join(gpus))


def _gpu(line: str) -> str:
    name, free, total = (word.strip() for word in line.rsplit(",", 2))
    if not (free.isdigit() and total.isdigit()):      # such as [N/A] where memory is shared with the processor
        return f"{name}: memory not told"
    return f"{name}: {int(free) / 1024:.1f} of {int(total) / 1024:.1f} GiB free"


def postgresql(site: Site) -> Finding:
    """The database of the Prefect server that callsheet starts."""
    from callsheet.doors.local.postgres import data_folder
    from callsheet.doors.local.postgres_programs import find_programs

    if site.settings.database_url:
        return Finding("postgresql", Level.OK, "the server of CALLSHEET_DATABASE_URL is used")
    base = data_folder(site.settings.home)
    programs = find_programs(base / "pgdata", None, base)
    return Finding("postgresql", Level.OK, f"version {programs.version} at {programs.folder}")
