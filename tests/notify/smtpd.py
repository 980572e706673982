"""A real mail server, aiosmtpd: smtpd.py starttls|tls CERTIFICATE KEY

Says `port N`, then one line of JSON for each mail that it took. Wants TLS and the login of `plimsoll` before a mail.
"""

import asyncio
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult


class Box:
    async def handle_DATA(self, server, session, envelope):
        tls = server.transport.get_extra_info("ssl_object")
        mail = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "login": session.auth_data,
            "tls": tls and tls.version(),
            "text": envelope.content.decode(),
        }
        print(json.dumps(mail), flush=True)
        return "250 taken"


def login(server, session, envelope, mechanism, data):
    good = (data.login, data.password) == (b"plimsoll", b"sesame")
    return AuthResult(success=good, handled=False, auth_data=data.login.decode())


def protocol():
    if mode == "starttls":
        return SMTP(Box(), tls_context=context, require_starttls=True, authenticator=login, auth_required=True)
    # Over TLS from the first byte the library does not see that it is there.
    return SMTP(Box(), authenticator=login, auth_required=True, auth_require_tls=False)


async def serve():
    wrapped = context if mode == "tls" else None
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0, ssl=wrapped)
    print("port", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


mode, certificate, key = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
asyncio.run(serve())
