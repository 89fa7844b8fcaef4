"""Contains what methods and evaluators share: models, data, schedule, seeding, state and checkpoints."""
