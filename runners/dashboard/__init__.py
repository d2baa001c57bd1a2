"""Every run in the browser: `keel dashboard`."""
