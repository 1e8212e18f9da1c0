"""Updates of projects from this template. A project has none of it: it runs what it finds in a clone of the template.

    __main__.py    what `make update` of a project runs; installs what the updater needs, then calls update.py
    update.py      plans an update and applies it
    project.py     the project: its .cruft.json, its files, its history
    template.py    the template: its clone, its versions, rendered by render.py
    owners.py      which files are the team's, and which the template's
    merge.py       merges all others, with git.py
    report.py      the text on the terminal and of a change request
    fleet.py       many projects at once: `make fleet`

The Makefile of every project, however old, calls `python CLONE/updater [--check] [--to REF] [--vars JSON] [--branch
NAME]` in its own folder, with the version to update to checked out in CLONE. So the folder and these options stay.
"""
