"""Counts the calls of a function with Frida: its first instructions are replaced by a
jump into a script that runs inside the target."""

import os
import select
import sys
import tempfile

import frida

# How the target's function is counted: `hits()` says how often.
COUNTERS = {
    "js": """
let count = 0;
const counter = { onEnter() { count++; } };
function hits() { return count; }
""",
    "c": """
const count = Memory.alloc(8);
const counter = new CModule(`
  #include <gum/guminterceptor.h>
  extern volatile gint64 count;
  void onEnter(GumInvocationContext *context) { count++; }
`, { count });
function hits() { return count.readU64(); }
""",
}
SCRIPT = """
Interceptor.attach(DebugSymbol.getFunctionByName('%s'), counter);
// The target writes once, at its end.
Interceptor.attach(DebugSymbol.getFunctionByName('write'), {
  onEnter() {
    const file = new File('%s', 'w');
    file.write('hits ' + hits());
    file.close();
  }
});
"""

with tempfile.TemporaryDirectory() as folder:
    told = os.path.join(folder, "hits")
    pid = frida.spawn(sys.argv[2:], stdio="inherit")
    session = frida.attach(pid)
    hook = SCRIPT % (os.environ["PAI_BENCH_FUNCTION"], told)
    script = session.create_script(COUNTERS[sys.argv[1]] + hook)
    script.load()
    end = os.pidfd_open(pid)
    frida.resume(pid)
    select.select([end], [], [])
    with open(told) as hits:
        sys.stderr.write(hits.read() + "\n")
