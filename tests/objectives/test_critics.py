"""The one critic that objectives own: frozen but for its own steps, which resume exactly."""

from functools import partial

import pytest
import torch
from torch import nn

from poseterior.objectives.critics import Critic, critic_loss, gradient_penalty, least_squares_loss


def made(seed: int = 0) -> Critic:
    torch.manual_seed(seed)
    return Critic(nn.Sequential(nn.Flatten(), nn.Linear(34, 8), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0)), 1e-2)


def answers(seed: int) -> torch.Tensor:
    return torch.randn(6, 17, 2, generator=torch.Generator().manual_seed(seed))


def test_frozen_but_for_its_own_steps():
    critic, real, fake = made(), answers(0), answers(1).requires_grad_()
    critic(fake).sum().backward()
    assert fake.grad.any()
    assert all(p.grad is None and not p.requires_grad for p in critic.parameters())
    before = [p.clone() for p in critic.parameters()]
    seen = []

    def loss():
        seen.append(all(p.requires_grad for p in critic.parameters()))
        return least_squares_loss(critic, real, fake.detach())

    value = critic.update(loss)
    assert seen == [True]
    assert not value.requires_grad
    assert all(p.grad is None and not p.requires_grad for p in critic.parameters())
    assert all(not torch.equal(a, b) for a, b in zip(before, critic.parameters(), strict=True))


@pytest.mark.parametrize("loss", [least_squares_loss, critic_loss])
def test_updates_tell_real_from_fake(loss):
    critic, real, fake = made(), answers(0), answers(1)
    torch.manual_seed(1)
    values = [float(critic.update(partial(loss, critic, real, fake))) for _ in range(60)]
    assert values[-1] < values[0]
    assert critic(real).mean() > critic(fake).mean() + 0.5


def test_a_step_is_adam_s():
    critic, real, fake = made(), answers(0), answers(1)
    plain = made().network.requires_grad_(True)
    optimizer = torch.optim.Adam(plain.parameters(), lr=1e-2, betas=(0.5, 0.9))
    for _ in range(3):
        critic.update(partial(least_squares_loss, critic, real, fake))
        optimizer.zero_grad()
        least_squares_loss(plain, real, fake).backward()
        optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(critic.network.parameters(), plain.parameters(), strict=True))


def test_a_stored_state_goes_on_as_if_nothing_had_happened(tmp_path):
    whole, real, fake = made(), answers(0), answers(1)
    step = partial(least_squares_loss, real=real, fake=fake)
    for _ in range(3):
        whole.update(partial(step, whole))
    torch.save(whole.state_dict(), tmp_path / "state.pt")
    again = made(seed=5)
    again.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert again.get_extra_state()["optimizer"] is not None  # stored before its first update too
    for critic in (whole, again):
        critic.update(partial(step, critic))
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))


def test_the_penalty_s_unit_and_share():
    class Linear(nn.Module):
        def forward(self, image):
            return 3.0 * image[:, 0, 0]

    real, fake = answers(0), answers(1)
    assert float(gradient_penalty(Linear(), real, fake, unit=1 / 3)) == pytest.approx(0.0, abs=1e-10)
    assert float(gradient_penalty(Linear(), real, fake)) == pytest.approx(4.0)
    critic, share = made(), torch.linspace(0, 1, 6)
    between = (share[:, None, None] * real + (1 - share[:, None, None]) * fake).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(between).sum(), between)
    expected = (gradient.flatten(1).norm(dim=-1) - 1).square().mean()
    torch.testing.assert_close(gradient_penalty(critic, real, fake, share), expected)
