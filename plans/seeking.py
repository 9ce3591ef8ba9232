"""Decides how what a deployment changed on staging is searched for content that must not reach prod."""

from plans import changed_files
from plans.actions import Note, Record, Shell
from plans.rule_events import DifferenceFound
from plans.site import OK, Actions, Own, Site

SHOWN = 8
"""Places that are named in the thread; the log has them all."""


class SearchChanged(Own, frozen=True):
    """The files below `paths` on a host that are younger than the package there, searched for what is `forbidden`.

    What is found is a difference that an admin must dispose of, and so is a host that could not be searched; neither is
    a verdict. A host that speaks PowerShell is not searched, and its log says so.
    """

    paths: tuple[str, ...]
    forbidden: tuple[str, ...]

    def actions(self, site: Site) -> Actions:
        if site.shell_of_host != "sh":
            yield Note("not searched: only hosts with shell: sh are\n")
            return OK
        archive = f"{site.base}/{site.digest}{site.suffix}"
        command = changed_files.command(self.paths, archive, self.forbidden)
        outcome = yield Shell(at=site.at, command=command, timeout=600)
        if outcome.result == "aborted":
            return outcome
        if outcome.exit != 0:
            said = outcome.output.strip().rpartition("\n")[2] or outcome.reason
            yield _found(site, f"{site.at} could not be searched for forbidden content: {said}")
            return OK
        found = changed_files.findings(outcome.output, self.forbidden)
        if found:
            first, *more = [f"{finding.place}: {finding.message}" for finding in found]
            many = f" and {len(more)} places more" if more else ""
            lines = [f"  {finding.place}: {finding.code}" for finding in found[:SHOWN]]
            yield Note("".join(f"{finding.place}: {finding.message}\n" for finding in found))
            yield _found(site, "\n".join([f"on {site.at} the deployment left {first}{many}", *lines]))
        return OK


def _found(site: Site, said: str) -> Record:
    host = site.host or ""
    key = f"content/{host}"
    return Record(DifferenceFound(run=site.run, key=key, fact="content", host=host, kind="content", brief=said))
