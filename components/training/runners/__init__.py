"""Other places where a training can run; `components.training.core.runner` names them, and nothing imports them."""
