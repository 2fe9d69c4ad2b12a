"""What watches the mesh: Prometheus' config and rules, Grafana's dashboards. Imports the model only."""
