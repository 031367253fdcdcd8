"""The style sheet of the HTML page: two themes, one column on phones."""

CSS = """
:root { color-scheme: light dark; --paper: #ffffff; --card: #f6f7f9; --ink: #1b1f24; --soft: #57606a; --line: #d8dee4;
  --c0: #1f6feb; --c1: #c2540a; --c2: #1a7f37; --c3: #a4389a; --c4: #b3261e; --c5: #0e7c86; --c6: #7a5c00;
  --c7: #5b4bc4; }
@media (prefers-color-scheme: dark) { :root { --paper: #0f1319; --card: #181d25; --ink: #e6e9ee; --soft: #9aa4b0;
  --line: #323a45; --c0: #6cb0ff; --c1: #f0954f; --c2: #5cc978; --c3: #dd8ad6; --c4: #ff8a80; --c5: #53c7d2;
  --c6: #d6b34c; --c7: #a99bff; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 75rem; margin: 0 auto; padding: 1.25rem; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; }
h2 { font-size: 1.05rem; margin: 0 0 .75rem; }
header p, .axis { color: var(--soft); margin: 0 0 1rem; overflow-wrap: anywhere; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 1rem; margin: 1rem 0; }
.c0 { --c: var(--c0); } .c1 { --c: var(--c1); } .c2 { --c: var(--c2); } .c3 { --c: var(--c3); }
.c4 { --c: var(--c4); } .c5 { --c: var(--c5); } .c6 { --c: var(--c6); } .c7 { --c: var(--c7); }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; padding: 0; margin: .5rem 0; }
.mark { display: inline-block; width: .8em; height: .8em; margin-right: .45em; border: 2px solid var(--c);
  border-radius: 50%; background: var(--c); }
.mark.plain { --c: var(--soft); } .mark.open { background: transparent; }
.plot { padding: .5rem 1.25rem 1.75rem 3.25rem; }
.area { position: relative; height: 20rem; border-left: 1px solid var(--soft); border-bottom: 1px solid var(--soft); }
.grid { position: absolute; }
.grid.x { top: 0; bottom: 0; border-left: 1px solid var(--line); }
.grid.y { left: 0; right: 0; border-top: 1px solid var(--line); }
.grid span { position: absolute; font-style: normal; font-size: .8rem; color: var(--soft); white-space: nowrap; }
.grid.x span { top: 100%; transform: translateX(-50%); padding-top: .3rem; }
.grid.y span { right: 100%; transform: translateY(-50%); padding-right: .5rem; }
.point { position: absolute; transform: translate(-50%, 50%); min-width: 1.5rem; height: 1.5rem; border-radius: 1rem;
  border: 2px solid var(--c); background: var(--c); color: var(--paper); font-size: .8rem; line-height: 1.25rem;
  text-align: center; }
.point.open { background: var(--card); color: var(--c); }
.whisker { position: absolute; height: 3px; margin-bottom: -1.5px; background: var(--c); opacity: .75; }
.points { margin: 0; padding-left: 1.75rem; }
.points li, section li { overflow-wrap: anywhere; }
.bar { display: grid; grid-template-columns: minmax(9rem, 17rem) 1fr 10.5rem; gap: .75rem; align-items: center;
  margin: .3rem 0; }
.name { overflow-wrap: anywhere; }
.track { position: relative; height: 1.1rem; }
.fill { position: absolute; left: 0; top: 0; bottom: 0; min-width: 1px; border-radius: 0 3px 3px 0;
  background: var(--c); }
.fill.open { background: transparent; border: 2px solid var(--c); border-left-width: 1px; }
.band { position: absolute; top: calc(50% - 1.5px); height: 3px; min-width: 3px; background: var(--ink); }
.value { font-variant-numeric: tabular-nums; white-space: nowrap; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; width: 100%; }
th, td { text-align: left; padding: .35rem .75rem .35rem 0; border-bottom: 1px solid var(--line); white-space: nowrap;
  font-variant-numeric: tabular-nums; }
th { color: var(--soft); font-weight: 600; }
@media (max-width: 40rem) { main { padding: .75rem; } section { padding: .75rem; }
  .bar { grid-template-columns: 1fr auto; gap: 0 .75rem; margin: .6rem 0; } .bar .name { grid-column: 1 / -1; }
  .area { height: 15rem; } .plot { padding-left: 2.75rem; padding-right: .5rem; }
  .point { min-width: 1.2rem; height: 1.2rem; font-size: .68rem; line-height: .95rem; } }
@media (min-width: 60rem) { .points { columns: 2; column-gap: 2rem; } }
"""
