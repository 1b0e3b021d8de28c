from torch import Tensor

def optimized_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    heads: int,
    mask: Tensor | None = ...,
    *,
    skip_reshape: bool = ...,
    skip_output_reshape: bool = ...,
) -> Tensor: ...
