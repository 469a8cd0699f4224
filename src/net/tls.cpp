#include "net/tls.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <cstring>

namespace ballast::net {
namespace {

std::unexpected<Error> tls_failure(std::string what, std::string field) {
  if (const auto code = ERR_get_error()) {
    char text[160];
    ERR_error_string_n(code, text, sizeof text);
    what += ": ";
    what += text;
  }
  ERR_clear_error();
  return fail(ErrorCode::caller_invalid_request, std::move(what), std::move(field));
}

int choose_http11(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in, unsigned in_size, void*) {
  static constexpr unsigned char ours[] = "\x08http/1.1";
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_size, ours, sizeof ours - 1, in, in_size) != OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_NOACK;      // a client that offers h2 alone finds out from the first answer
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

}  // namespace

void TlsContextDeleter::operator()(void* context) const noexcept { SSL_CTX_free(static_cast<SSL_CTX*>(context)); }

Result<TlsContext> make_tls_client_context(const TlsClientOptions& options) {
  SSL_CTX* c = SSL_CTX_new(TLS_client_method());
  TlsContext context(c);
  SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION);
  SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION);   // a write that waits to read has no end in `Channel`
  static constexpr unsigned char alpn[] = "\x08http/1.1";
  SSL_CTX_set_alpn_protos(c, alpn, sizeof alpn - 1);
  SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_verify(c, options.verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  if (options.verify) {
    if (options.ca_file.empty()) {
      if (SSL_CTX_set_default_verify_paths(c) != 1) return tls_failure("cannot read the system's certificate authorities", "ca_file");
    } else if (SSL_CTX_load_verify_locations(c, options.ca_file.c_str(), nullptr) != 1) {
      return tls_failure("cannot read " + options.ca_file, "ca_file");
    }
  }
  return context;
}

Result<TlsContext> make_tls_server_context(const TlsServerOptions& options) {
  SSL_CTX* c = SSL_CTX_new(TLS_server_method());
  TlsContext context(c);
  SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION);
  SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_alpn_select_cb(c, choose_http11, nullptr);
  if (SSL_CTX_use_certificate_chain_file(c, options.cert_file.c_str()) != 1) return tls_failure("cannot read " + options.cert_file, "cert_file");
  if (SSL_CTX_use_PrivateKey_file(c, options.key_file.c_str(), SSL_FILETYPE_PEM) != 1) return tls_failure("cannot read " + options.key_file, "key_file");
  if (SSL_CTX_check_private_key(c) != 1) return tls_failure("the key does not belong to the certificate", "key_file");
  return context;
}

}  // namespace ballast::net
