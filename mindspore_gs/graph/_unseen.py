"""Keep the output of a layer in MindIR that nothing reads. Graph mode compiles this file, so it has no annotations."""


class Unseen:
    """Mixed into the class of a layer: what it computes is handed to an operator with an effect, which MindIR keeps."""

    def construct(self, *inputs):
        """What the layer computes."""
        output = super(Unseen, self).construct(*inputs)
        self.gs_unseen(output)
        return output
