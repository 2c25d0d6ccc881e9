"""All of AMQP: links to RabbitMQ, the topology they need, and its checks.

The only importer of pika. Nothing here decides anything about a message.
"""

from swexchange.broker.frames import Message
from swexchange.broker.lasting import LastingOutlet
from swexchange.broker.link import Intake, Outlet
from swexchange.broker.server import Server, Tls
from swexchange.broker.silence import PassingOver
from swexchange.broker.topology import Topology

__all__ = ["Intake", "LastingOutlet", "Message", "Outlet", "PassingOver", "Server", "Tls", "Topology"]
