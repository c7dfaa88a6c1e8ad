"""Counts the calls of a function with Frida: its first instructions are replaced by a
jump into a script that runs inside the target."""

import os
import select
import sys
import tempfile

import frida

SCRIPT = """
let hits = 0;
Interceptor.attach(DebugSymbol.getFunctionByName('%s'), { onEnter() { hits++; } });
// The target writes once, at its end.
Interceptor.attach(DebugSymbol.getFunctionByName('write'), {
  onEnter() {
    const file = new File('%s', 'w');
    file.write('hits ' + hits);
    file.close();
  }
});
"""

with tempfile.TemporaryDirectory() as folder:
    told = os.path.join(folder, "hits")
    pid = frida.spawn(sys.argv[1:], stdio="inherit")
    session = frida.attach(pid)
    script = session.create_script(SCRIPT % (os.environ["PAI_BENCH_FUNCTION"], told))
    script.load()
    end = os.pidfd_open(pid)
    frida.resume(pid)
    select.select([end], [], [])
    with open(told) as hits:
        sys.stderr.write(hits.read() + "\n")
