"""Types keys into an interactive shell on a terminal of its own, and prints what the shell wrote.

    type_keys.py SHELL SCRIPT KEYS...

SHELL is bash, zsh or fish; SCRIPT has its completions of ringway. Each KEYS is typed at a prompt: \\t is the tabulator key, and return
follows. A function named ringway prints its arguments, so that what a completion made of the keys can be read: GOT<first><second>.
"""

import os
import pty
import select
import sys
import tempfile
import time

LIMIT_SECS = 60
COMMANDS = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "-i"],
}
PRINT = "ringway() { printf 'GOT'; printf '<%s>' \"$@\"; printf '\\n'; }\n"
SETUP = {
    "bash": PRINT + "bind 'set bell-style none'; source {script}; PS1='READY''@ '\n",
    "zsh": "autoload -U compinit; compinit -u -D; LISTMAX=1000\n" + PRINT + "source {script}; PS1='READY''@ '\n",
    "fish": "function ringway; printf 'GOT'; printf '<%s>' $argv; printf '\\n'; end\n"
    "source {script}; function fish_prompt; printf 'READY'; printf '@ '; end\n",
}


class Terminal:
    """What the shell writes, read up to marks."""

    def __init__(self, master):
        self.master, self.text, self.seen = master, "", 0

    def read_until(self, mark):
        end = time.monotonic() + LIMIT_SECS
        while mark not in self.text[self.seen :]:
            if time.monotonic() > end:
                sys.stdout.write(self.text)
                sys.exit(f"\nno {mark} within {LIMIT_SECS} s")
            if select.select([self.master], [], [], 0.2)[0]:
                self.text += os.read(self.master, 65536).decode(errors="replace")
        self.seen = self.text.index(mark, self.seen) + len(mark)


def main():
    shell, script, keys = sys.argv[1], sys.argv[2], sys.argv[3:]
    home = tempfile.mkdtemp()
    child, master = pty.fork()
    if child == 0:
        os.environ.update(HOME=home, XDG_CONFIG_HOME=home, XDG_DATA_HOME=home, TERM="dumb", HISTFILE="", LC_ALL="C.UTF-8", COLUMNS="200")
        os.execvp(COMMANDS[shell][0], COMMANDS[shell])
    setup = os.path.join(home, "setup")
    with open(setup, "w") as file:
        file.write(SETUP[shell].replace("{script}", script))
    os.write(master, f"source {setup}\n".encode())
    terminal = Terminal(master)
    terminal.read_until("READY@")
    for line in keys:
        os.write(master, line.replace("\\t", "\t").encode() + b"\r")
        terminal.read_until("GOT")
        terminal.read_until("READY@")
    os.write(master, b"exit\r")
    os.close(master)
    os.waitpid(child, 0)
    sys.stdout.write(terminal.text)


main()
