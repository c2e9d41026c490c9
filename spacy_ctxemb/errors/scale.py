"""Encoding in many processes and on clusters: E830 to E849."""


class ScaleErrors:
    E830 = (
        "{path} holds {names}, which no run of encode has written. Choose another folder, or a "
        "file *.parquet, as the output."
    )
    E831 = (
        "{path} has changed since the start of the run. Leave the texts as they are while a run "
        "goes on; run the command again with --force to begin anew."
    )
    E832 = (
        "The pipeline {pipeline!r} on the machine {host} has other files than where the run was "
        "started. Put the same pipeline in the same place on all machines."
    )
    E833 = (
        "The partition {name} cannot be written: {kind}: {reason}. What is done is kept: mend the "
        "cause, and run the same command again."
    )
    E834 = (
        "{n} texts failed and none was encoded, so the run has stopped. Mend the cause, and run "
        "the command again, with --retry-failed if partitions are done. {where}"
    )
    E835 = (
        "Two processes have died over the partition {name}, the last one with code {code}, most "
        "often since memory was not enough. Run the command again with fewer --workers, or remove "
        "the longest texts from {file} (texts {first} to {last} of all)."
    )
    E836 = (
        "Ray could not do it: {reason}. What is done is kept: run the same command again, or with "
        "--workers in the place of --ray."
    )
    E837 = (
        "The dataset has the columns {found}, and needs {needed}: a text, and an id that no other "
        "text has. Name them with text_field and id_field."
    )
    E838 = (
        "{n} rows of the dataset have no id in the column {field!r}. Give each text one that no "
        "other text has."
    )
