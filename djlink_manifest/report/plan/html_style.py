"""The style and the script of plans as HTML. Neither holds anything of a plan."""

from __future__ import annotations

import base64
import hashlib

# colors of rich's names, for light and for dark pages; each has a contrast of 4.5 or more on its ground
STYLE = """
.djlink-plan{--ground:#fff;--text:#1b1f24;--dim:#57606a;--line:#d0d7de;--box:#f6f8fa;
--green:#116329;--cyan:#0b5f79;--red:#a40e26;--yellow:#7a4b00;--magenta:#6e3fa3;
color:var(--text);background:var(--ground);font:14px/1.5 system-ui,sans-serif}
@media (prefers-color-scheme:dark){.djlink-plan{--ground:#0d1117;--text:#e6edf3;--dim:#9aa4af;--line:#3d444d;
--box:#161b22;--green:#56d364;--cyan:#56c8e0;--red:#ff8b82;--yellow:#e3b341;--magenta:#d2a8ff}}
body[data-jp-theme-light=true] .djlink-plan{--ground:#fff;--text:#1b1f24;--dim:#57606a;--line:#d0d7de;
--box:#f6f8fa;--green:#116329;--cyan:#0b5f79;--red:#a40e26;--yellow:#7a4b00;--magenta:#6e3fa3}
body[data-jp-theme-light=false] .djlink-plan{--ground:#0d1117;--text:#e6edf3;--dim:#9aa4af;--line:#3d444d;
--box:#161b22;--green:#56d364;--cyan:#56c8e0;--red:#ff8b82;--yellow:#e3b341;--magenta:#d2a8ff}
.djlink-plan .green{color:var(--green)}.djlink-plan .cyan{color:var(--cyan)}
.djlink-plan .red{color:var(--red)}
.djlink-plan .yellow{color:var(--yellow)}.djlink-plan .magenta{color:var(--magenta)}
.djlink-plan .dim{color:var(--dim)}
.djlink-plan h2{font-size:1.1em;margin:1.4em 0 .3em;padding-bottom:.2em;border-bottom:1px solid var(--line)}
.djlink-plan ul{list-style:none;margin:0;padding:0}
.djlink-plan li{margin:.25em 0;overflow-wrap:anywhere}
.djlink-plan li ul{margin-left:1.4em}
.djlink-plan .sign{display:inline-block;width:1.2em;font-weight:bold;font-family:ui-monospace,monospace}
.djlink-plan .place{color:var(--dim);margin-left:.6em;white-space:normal}
.djlink-plan table{border-collapse:collapse;margin:.5em 0}
.djlink-plan th,.djlink-plan td{text-align:left;vertical-align:top;padding:2px 12px 2px 0;
overflow-wrap:anywhere;background:none}
.djlink-plan .number{text-align:right}.djlink-plan td.number{white-space:nowrap}
.djlink-plan .legend{margin-top:.5em;display:flex;flex-wrap:wrap;gap:.2em 1.2em;color:var(--dim)}
"""
PAGE_STYLE = """
:root{color-scheme:light dark}
body{margin:0;background:#fff}
@media (prefers-color-scheme:dark){body{background:#0d1117}}
main{max-width:72rem;margin:0 auto;padding:1rem;box-sizing:border-box}
h1{font-size:1.4em;margin:.2em 0;overflow-wrap:anywhere}
.summary{font-size:1.05em;margin:.3em 0}
.filter{position:sticky;top:0;z-index:1;display:flex;flex-wrap:wrap;gap:.4em .8em;align-items:center;
padding:.6em 0;background:var(--ground);border-bottom:1px solid var(--line)}
.filter input{font:inherit;color:inherit;background:var(--box);border:1px solid var(--dim);border-radius:4px;
padding:.3em .5em;flex:1 1 16em;min-width:0}
.graph{overflow:auto;max-height:80vh;border:1px solid var(--line);border-radius:6px;background:var(--box)}
.graph svg{display:block;font:12px ui-monospace,monospace}
.graph text{fill:var(--text)}
.graph rect{fill:var(--ground);stroke:var(--dim)}
.graph .green rect{stroke:var(--green)}.graph .cyan rect{stroke:var(--cyan)}
.graph .red rect{stroke:var(--red)}
.graph .yellow rect{stroke:var(--yellow)}.graph .magenta rect{stroke:var(--magenta)}
.graph .wave{fill:var(--dim)}
.graph path{fill:none;stroke:var(--dim)}
.graph .asked{stroke-dasharray:4 3}
.graph .aside,.graph.narrowed path{opacity:.25}
a:focus-visible,input:focus-visible,.graph:focus-visible{outline:3px solid var(--cyan);outline-offset:2px}
li:target{scroll-margin-top:4rem;background:var(--box);outline:2px solid var(--cyan)}
[hidden]{display:none!important}
@media print{.filter{display:none}.graph{max-height:none;overflow:visible;border:0}
.graph svg{max-width:100%;height:auto}li,tr{break-inside:avoid}}
"""
# hides what does not hold the text that is typed; without it the page shows everything
SCRIPT = """
(() => {
  const form = document.querySelector('.filter');
  const input = form.querySelector('input');
  const told = form.querySelector('output');
  const graph = document.querySelector('.graph');
  const items = [...document.querySelectorAll('[data-link]')];
  const nodes = [...document.querySelectorAll('.graph [data-node]')];
  const sections = [...document.querySelectorAll('section')].filter(s => s.querySelector('[data-link]'));
  const show = () => {
    const wanted = input.value.trim().toLowerCase();
    let count = 0;
    for (const item of items) {
      item.hidden = wanted !== '' && !item.getAttribute('data-link').toLowerCase().includes(wanted);
      count += item.hidden ? 0 : 1;
    }
    for (const section of sections) section.hidden = !section.querySelector('[data-link]:not([hidden])');
    for (const node of nodes) {
      const name = node.getAttribute('data-node').toLowerCase();
      node.classList.toggle('aside', wanted !== '' && !name.includes(wanted));
    }
    if (graph) graph.classList.toggle('narrowed', wanted !== '');
    told.textContent = wanted === '' ? '' : count + ' of ' + items.length + ' entries shown';
  };
  form.hidden = false;
  form.addEventListener('submit', event => event.preventDefault());
  input.addEventListener('input', show);
  input.addEventListener('keydown', event => { if (event.key === 'Escape') { input.value = ''; show(); } });
  show();
})();
"""


def fingerprint(text: str) -> str:
    """Return what a page's policy calls this script or style, so that no other one is run or used."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
