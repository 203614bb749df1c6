"""A training script as PyTorch users write it: only its imports say tinyconv.

The structure is that of the MNIST example every PyTorch user has seen: arguments, a network of
convolutions, dropout and linear layers, Adadelta with a step schedule, a training and a test loop.
"""

import argparse

import pytest

import tinyconv as tc
import tinyconv.nn.functional as F
from tinyconv import nn, optim
from tinyconv.optim.lr_scheduler import StepLR


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, 1)
        self.conv2 = nn.Conv2d(8, 16, 3, 1)
        self.dropout1 = nn.Dropout(0.25)
        self.dropout2 = nn.Dropout(0.5)
        self.fc1 = nn.Linear(16 * 4 * 4, 32)
        self.fc2 = nn.Linear(32, 4)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = F.relu(self.conv2(x))
        x = F.max_pool2d(x, 2)
        x = self.dropout1(x)
        x = tc.flatten(x, 1)
        x = self.dropout2(F.relu(self.fc1(x)))
        return F.log_softmax(self.fc2(x), dim=1)


def train(args, model, device, loader, optimizer, epoch):
    model.train()
    for batch_idx, (data, target) in enumerate(loader):
        data, target = data.to(device), target.to(device)
        optimizer.zero_grad()
        loss = F.nll_loss(model(data), target)
        loss.backward()
        optimizer.step()
        if batch_idx % args.log_interval == 0:
            done = batch_idx * len(data)
            print(f"Train epoch {epoch} [{done}/{len(loader) * len(data)}] {loss.item():.6f}")


def evaluate(model, device, loader):
    model.eval()
    loss, correct, count = 0, 0, 0
    with tc.no_grad():
        for data, target in loader:
            data, target = data.to(device), target.to(device)
            output = model(data)
            loss += F.nll_loss(output, target, reduction="sum").item()
            pred = output.argmax(dim=1, keepdim=True)
            correct += pred.eq(target.view_as(pred)).sum().item()
            count += len(data)
    return loss / count, correct / count


def synthetic(n_batches, batch_size, seed):
    """Images 12 x 12 with one bright quarter, which is their class, in noise."""
    generator = tc.Generator(seed)
    batches = []
    for _ in range(n_batches):
        target = tc.randint(0, 4, (batch_size,), generator=generator)
        images = 0.3 * tc.randn(batch_size, 1, 12, 12, generator=generator)
        for image, quarter in zip(images, target.tolist(), strict=True):
            row, column = 6 * (quarter // 2), 6 * (quarter % 2)
            image[0, row : row + 6, column : column + 6] += 1
        batches.append((images, target))
    return batches


def main(argv):
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--lr", type=float, default=1.0)
    parser.add_argument("--gamma", type=float, default=0.7)
    parser.add_argument("--no-accel", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log-interval", type=int, default=10)
    parser.add_argument("--save-model", default=None)
    args = parser.parse_args(argv)
    tc.manual_seed(args.seed)
    device = tc.device("cpu" if args.no_accel or not tc.cuda.is_available() else "cuda")
    train_loader, test_loader = synthetic(12, args.batch_size, 0), synthetic(4, args.batch_size, 9)
    model = Net().to(device)
    optimizer = optim.Adadelta(model.parameters(), lr=args.lr)
    scheduler = StepLR(optimizer, step_size=1, gamma=args.gamma)
    results = [evaluate(model, device, test_loader)]
    for epoch in range(1, args.epochs + 1):
        train(args, model, device, train_loader, optimizer, epoch)
        results.append(evaluate(model, device, test_loader))
        scheduler.step()
    if args.save_model:
        tc.save(model.state_dict(), args.save_model)
    return model, scheduler, results


def test_script_learns_and_saves(tmp_path, capsys):
    path = tmp_path / "mnist_cnn.safetensors"
    model, scheduler, results = main(["--no-accel", "--save-model", str(path)])
    losses, accuracies = zip(*results, strict=True)
    assert losses[0] > losses[1] > losses[2]
    assert accuracies[-1] > 0.9
    assert scheduler.get_last_lr() == [pytest.approx(0.49)]
    assert capsys.readouterr().out.startswith("Train epoch 1 [0/192] ")
    other = Net()
    assert str(other.load_state_dict(tc.load(path))) == "<All keys matched successfully>"
    x = synthetic(1, 4, 5)[0][0]
    assert other.eval()(x).tolist() == model.eval()(x).tolist()


def test_same_seed_same_run():
    runs = [main(["--no-accel", "--epochs", "1"])[2] for _ in range(2)]
    assert runs[0] == runs[1]
