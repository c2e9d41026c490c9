"""The benchmark of settings: E850 to E869."""


class BenchmarkErrors:
    E850 = (
        "None of the components {names} is a ctxemb with an encoder, whose settings could be "
        "measured. Add one: nlp.add_pipe('ctxemb')."
    )
    E851 = (
        "The process that measures {precision} has ended. What it wrote above says why; where it "
        "wrote nothing, memory was short: each precision takes a process with the whole pipeline."
    )
    E852 = "The plot {path} cannot be of this kind. Name a file *.png or *.svg."
    E853 = "There is no text with words in {path}. Pass texts such as the pipeline is to encode."
    E854 = (
        "The least cosine is {least}, but must be from 0 to 1. The default of 0.99 leaves out what "
        "changes vectors visibly."
    )
