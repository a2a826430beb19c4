# SPDX-License-Identifier: GPL-2.0-only
"""The page of a campaign: it shows hostile text without running it, and loads nothing."""

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from fuzz.campaign.store.findings import FILED
from fuzz.campaign.view.history import Moment
from fuzz.campaign.view.overview import CampaignFinding, Overview
from fuzz.corpus import Corpus
from fuzz.judging.finding import Finding

pytest.importorskip("pygal", reason="pygal is not installed: no page of a campaign is made")

from fuzz.web.lines import CoveredFile, CoveredLine, covered
from fuzz.web.page import page

HOSTILE = '<script>document.title = "run"</script><img src=x onerror="document.title=1">"\'{{ 7 * 7 }}'
SIGNATURE = "locking: kvm_mmu_topup_memory_cache: memory cache filled under mmu_lock"
MOMENTS = [Moment(at * 1.0, 1, at * 20, 10 + at, at * 7, at // 3) for at in range(10)]
PROGRAM = "s2fuzz 1\nvm\nslot a ipa=1G size=2M backing=anon\ncpu0 write a+0\n"
CHROMIUM = shutil.which("chromium-headless-shell") or shutil.which("chromium")


@pytest.fixture
def overview(tmp_path: Path) -> Overview:
    (tmp_path / "findings").mkdir()
    (tmp_path / "findings" / "x.s2").write_text(f"# {HOSTILE}\n{PROGRAM}")
    finding = Finding("regression", SIGNATURE, f"reason {HOSTILE}")
    old = Finding("common", "contract: kvm_age_hva_handler: WARN", "warns")
    row = CampaignFinding(finding, FILED, 3, "random", 1, 2.0, "findings/x.s2", 1, "", 1, 2e9)
    other = CampaignFinding(old, FILED, 1, "random", 1, 1.0, "", None, f"accepted {HOSTILE}", 1, 1e9)
    return Overview(
        str(tmp_path), "rfc-v1", "original", 1, "random", "", "plain", False, HOSTILE, 1, 1, 9.0, 50, 500, 0.0, 0.0,
        2, 0, 0, 60, 0, 700, 3.0, [(0.0, 0), (9.0, 700)], [row, other], [], 0, [], [], None,
    )  # fmt: skip


def test_hostile_text_is_shown(overview: Overview) -> None:
    text = page(overview, since=1.5e9)
    assert text.count("<script>") == 1
    assert "<img" not in text
    assert "{{ 7 * 7 }}" in text
    assert "&lt;script&gt;document.title" in text
    # The page loads no external resource.
    assert not re.search(r"(?:src|href)\s*=\s*[\"']?(?:https?:|//)|@import|url\(|fetch\(", text.replace("&#34;", ""))
    assert text.count('class="new">new</span>') == 1
    # The accepted finding is folded.
    assert text.index("1 known") > text.index(SIGNATURE.replace(">", "&gt;"))


def test_both_traces_stand_side_by_side(overview: Overview) -> None:
    text = page(overview)
    assert re.search(r'class="trace">[^<]*original +rfc-v1', text)
    (program,) = re.findall(r'class="program">([^<]*)<', text)
    assert "cpu0 write a+0" in program
    assert "s2fuzz run --trace " in text
    assert "Not run for this page" in page(overview, traced=0)
    assert "No traces: " in page(replace(overview, candidate="nobody"))


def test_curves_stand_in_the_page(overview: Overview) -> None:
    assert "No charts yet." in page(overview)
    text = page(overview, MOMENTS)
    assert text == page(overview, MOMENTS)
    assert text.count("<svg") == text.count("<figure>") == 4
    # No part of the library remains that runs code, loads files, or changes from day to day.
    assert text.count("<script") == 1
    assert "pygal" not in text
    assert set(re.findall(r"https?://[^\s\"'<]*", text)) == {"http://www.w3.org/2000/svg"}
    # The curves use the colours of the page, light or dark.
    assert "var(--text)" in text
    assert not re.search(r"#chart-[^}]*(?:stroke|fill):(?:black|white|#)[^}]*}", text.partition("guide.line")[0])


def test_the_result_of_minimising_is_shown(overview: Overview, tmp_path: Path) -> None:
    (tmp_path / "findings" / "x.s2").write_text(f"# minimized: 9 operations to 1\n# at: operation 1\n{PROGRAM}")
    text = page(overview)
    assert "The program, minimised: 9 operations to 1" in text
    assert "<dt>at<dd>operation 1" in text


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed: the page is not tried in a browser")
def test_a_browser_runs_only_our_script(overview: Overview, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text(page(overview, MOMENTS))
    command = [str(CHROMIUM), "--no-sandbox", "--headless", "--disable-gpu", "--virtual-time-budget=2000", "--dump-dom"]
    shown = subprocess.run([*command, file.as_uri()], capture_output=True, text=True, timeout=60, check=True).stdout
    assert "<title>rfc-v1 against original</title>" in shown
    assert 'id="shown">2 of 2<' in shown
    assert '<option value="regression">' in shown


def test_lines_are_shown_with_a_program(overview: Overview, tmp_path: Path) -> None:
    pytest.importorskip("coverage", reason="coverage.py is not installed: no lines on the page")
    corpus = Corpus(tmp_path / "corpus")
    small = corpus.add(PROGRAM)
    corpus.add(f"{PROGRAM}cpu0 read a+4K\n")
    files = {each.name: each for each in covered(tmp_path / "corpus", "original", "rfc-v1")}
    assert {"reference/pgtable.py", "reference/mmu.py", "candidate/rfc_v1.py"} <= set(files)
    assert not any("machine" in name for name in files)
    mmu = files["reference/mmu.py"]
    assert 0 < mmu.reached < mmu.total < len(mmu.lines)
    texts = {line.text.strip(): line.program for line in mmu.lines}
    abort = next(at for at, line in enumerate(mmu.lines) if "def kvm_handle_guest_abort" in line.text)
    after = [line.program for line in mmu.lines[abort : abort + 60]]
    # The page names the smaller of two programs. A function's heading runs at import and belongs to no program.
    assert mmu.lines[abort].program is None
    assert small[:12] in after
    assert "" in texts.values()
    text = page(overview, covered=list(files.values()))
    assert f"{mmu.reached} of {mmu.total} lines" in text
    assert text.count('class="ran"') == sum(each.reached for each in files.values())
    hostile = CoveredFile("x<b>.py", [CoveredLine(1, HOSTILE, "0123456789ab")])
    assert "<img" not in page(overview, covered=[hostile])
