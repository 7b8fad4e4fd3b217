"""`poseterior lifters`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Lifters:
    """List the lifters that ship with the package, with their cards in short."""

    def run(self) -> None:
        from rich.console import Console
        from rich.table import Table

        from ..files.lifter_folders import list_shipped, read_card

        table = Table(title="Shipped lifters", title_justify="left", show_lines=True)
        for column in ("name", "what it is", "trained on", "measured", "licence of the weights", "size"):
            table.add_column(column)
        for name, folder in list_shipped().items():
            card = read_card(name)
            measured = "\n".join(f"{key}: {value}" for key, value in card.get("in short", {}).items())
            size = sum(p.stat().st_size for p in folder.iterdir()) / 1e6
            data = card.get("data", {})
            trained = f"{', '.join(data['sources'])}: {data['frames']} frames" if data.get("sources") else "-"
            table.add_row(
                name,
                card.get("description", ""),
                trained,
                measured,
                card.get("licence", ""),
                f"{size:.1f} MB",
            )
        Console().print(table)
        print("use one with: poseterior lift FILE --lifter NAME; full card: the card.json beside the weights")
