"""Follow one handwritten digit through a small CNN: take each layer's activation, and save the pictures.

    python examples/one_forward_pass.py --output pictures

No TensorBoard, no log directory. With --checkpoint, the network is one that examples/digits_cnn.py trained.
"""

import argparse
from pathlib import Path

import torch
from digits_cnn import DigitsCNN, load_data, probe_of_each_digit

import actviz_tb


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("pictures"))
    parser.add_argument("--checkpoint", type=Path, help="a before-epoch-*.pt of examples/digits_cnn.py")
    parser.add_argument("--digit", type=int, default=3, choices=range(10))
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)

    torch.manual_seed(0)
    model = DigitsCNN()
    if arguments.checkpoint is not None:
        model.load_state_dict(torch.load(arguments.checkpoint, weights_only=True))
    images, labels = probe_of_each_digit(*load_data())
    image = images[labels == arguments.digit]  # [1, 1, 28, 28]

    # One layer: by its place in the order of execution, or by its name.
    first = actviz_tb.activation_propagation(model, image, 0)
    print(f"layer 0 puts out {tuple(first.shape)}, from {first.min():.2f} to {first.max():.2f}")
    actviz_tb.visualize_activation(first).save(arguments.output / "layer-0.png")

    # All of them, in one forward pass.
    activations = actviz_tb.capture(model, image)
    print(activations)
    for name, activation in activations.items():
        activation.grid().save(arguments.output / f"{name}.png")
    activations.show().save(arguments.output / "propagation.png")

    # Which units of the hidden layer fire for this input, and how strongly?
    hidden = activations["relu2"].tensor[0]
    strongest = hidden.topk(5)
    print(f"{int((hidden > 0).sum())} of {len(hidden)} units of relu2 fire; the strongest:")
    for unit, value in zip(strongest.indices.tolist(), strongest.values.tolist(), strict=True):
        print(f"  unit {unit}: {value:.2f}")
    print(f"pictures in {arguments.output}/")


if __name__ == "__main__":
    main()
