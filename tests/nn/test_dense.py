"""Dense layers without gradients equal the plain ones."""

from __future__ import annotations

import pytest
import torch

from poseterior.nn import dense


def numbers(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("rows", [1, 7, 200, 2048])
@pytest.mark.parametrize(("inputs", "outputs"), [(24, 192), (192, 192), (192, 48), (3, 32)])
@torch.no_grad()
def test_products_are_as_exact_as_the_plain_ones(rows: int, inputs: int, outputs: int) -> None:
    x, weight, bias = numbers(rows, inputs), numbers(outputs, inputs, seed=1), numbers(outputs, seed=2)
    product = dense.product_for(x, weight)
    for shift in (bias, None):
        exact = torch.nn.functional.linear(x.double(), weight.double(), None if shift is None else shift.double())
        torch.testing.assert_close(product(x, weight, shift).double(), exact, atol=1e-4, rtol=1e-5)


@torch.no_grad()
def test_parts_of_larger_tensors_and_more_dimensions() -> None:
    x, large = numbers(5, 4, 16), numbers(16, 3, 8, seed=1)
    for matrix in (large[:, 1], large[:, 1].contiguous(), large[:, 1].T.contiguous().T):
        expected = x.double() @ large[:, 1].double()
        torch.testing.assert_close(dense.times(x, matrix).double(), expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_other_precisions_and_builds_take_the_plain_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    x = numbers(4, 3)
    assert dense.product_for(x.double(), x.double()) is torch.nn.functional.linear
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert dense.product_for(x, x) is torch.nn.functional.linear
    monkeypatch.setattr(dense, "_one_dnn", lambda: None)
    assert dense.product_for(x, x) is torch.nn.functional.linear


def test_a_build_whose_operator_differs_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong:
        default = staticmethod(lambda rows, weight, *rest: torch.zeros(len(rows), len(weight)))

    class Library:
        _linear_pointwise = Wrong

    monkeypatch.setattr(torch.ops, "mkldnn", Library, raising=False)
    dense._one_dnn.cache_clear()
    assert dense._one_dnn() is None
    monkeypatch.undo()
    dense._one_dnn.cache_clear()


def test_gradients_where_they_are_tracked() -> None:
    x, matrix = numbers(6, 3).requires_grad_(), numbers(3, 2, seed=1)
    dense.times(x, matrix).sum().backward()
    torch.testing.assert_close(x.grad, matrix.sum(1).expand(6, 3))


def test_products_of_training_keep_float32_and_the_setting() -> None:
    generator = torch.Generator().manual_seed(3)
    rows = torch.randn(96, 512, generator=generator, requires_grad=True)
    weight = torch.randn(256, 512, generator=generator, requires_grad=True)
    before = torch.get_float32_matmul_precision()
    with dense.full_width() as kept:
        assert torch.get_float32_matmul_precision() == ("medium" if kept else before)
        torch.nn.functional.linear(rows, weight).square().sum().backward()
    assert torch.get_float32_matmul_precision() == before
    exact = [part.detach().double().requires_grad_() for part in (rows, weight)]
    torch.nn.functional.linear(*exact).square().sum().backward()
    for found, wanted in zip((rows.grad, weight.grad), exact, strict=True):
        assert found is not None
        assert wanted.grad is not None
        assert (found - wanted.grad).abs().max() < 1e-5 * wanted.grad.abs().max()


def test_a_processor_that_rounds_products_keeps_torchs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense, "_keeps_float32", lambda: False)
    before = torch.get_float32_matmul_precision()
    with dense.full_width() as kept:
        assert not kept
        assert torch.get_float32_matmul_precision() == before
    assert torch.get_float32_matmul_precision() == before


def test_the_setting_is_put_back_after_an_error() -> None:
    before = torch.get_float32_matmul_precision()
    with pytest.raises(KeyError), dense.full_width():
        raise KeyError("a step")
    assert torch.get_float32_matmul_precision() == before


@pytest.mark.parametrize("rows", [48, 200, 333])
@torch.no_grad()
def test_rows_said_to_be_the_same_in_company_are(rows: int) -> None:
    x, weight, bias = numbers(700, 24), numbers(192, 24, seed=1), numbers(192, seed=2)
    if dense.alone_or_not(x[:rows]):
        product = dense.product_for(x, weight)
        assert torch.equal(product(x[:rows], weight, bias), product(x, weight, bias)[:rows])
    assert not dense.alone_or_not(x[:10])
    assert not dense.alone_or_not(x.double())
