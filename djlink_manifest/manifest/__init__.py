"""What the user wrote → frozen values. Offline: nothing here talks to a server or imports a driver."""
