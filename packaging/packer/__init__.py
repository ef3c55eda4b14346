"""How Panopticon and Arke are packed: one tree of source in, .deb packages, single files and manual pages out.

A build-time tool, no part of either daemon: ``make deb``, ``make shiv`` and ``make onedir`` run it. The flow:

    source (files, version, time) -> vendored (a site directory for each program) -> debian | singlefile
    parsers and docs/reference    -> manual (roff) and completion (bash, zsh, fish) ----^
    cleanhost: the .debs tried on a clean Debian;  smoke: a build asked to do its work
"""
