"""The web stage: REST API, carriers' webhooks, health and metrics, the simulated phones and the demo page."""
