"""A report on the terminal."""

from wasabi import msg

from .findings import Finding, Level, Report


def show(report: Report) -> None:
    """All findings by topic, and their number."""
    for topic, findings in report.topics.items():
        if findings:
            msg.divider(topic)
            for finding in findings:
                show_finding(finding)
    msg.divider("Summary")
    counts = report.counts
    text = ", ".join(f"{n} {level}" for level, n in counts.items())
    if report.has_errors:
        msg.fail(text)
    elif counts[Level.warning.value]:
        msg.warn(text)
    else:
        msg.good(text)


def show_finding(finding: Finding) -> None:
    if finding.level is Level.ok:
        msg.good(finding.message)
    elif finding.level is Level.warning:
        msg.warn(finding.message, finding.advice)
    else:
        msg.fail(finding.message, finding.advice)
