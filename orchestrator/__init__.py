"""From a spec to results: plan, durable state, and the execution on Ray and MLflow."""
