// TLS contexts (OpenSSL 3, TLS 1.2 or newer). Immutable after creation; shared by every loop.
#pragma once
#include <memory>
#include <string>

#include "base/result.hpp"

namespace ballast::net {

struct TlsContextDeleter { void operator()(void* context) const noexcept; };
// An opaque SSL_CTX.
using TlsContext = std::unique_ptr<void, TlsContextDeleter>;

struct TlsClientOptions {
  std::string ca_file;                // PEM; empty: the system's certificate authorities
  bool verify = true;                 // peer chain and host name; false only for tests and private networks
};
struct TlsServerOptions {
  std::string cert_file;              // PEM chain, leaf first; empty: plain HTTP
  std::string key_file;
};

// caller_invalid_request names the file that cannot be read or does not fit.
Result<TlsContext> make_tls_client_context(const TlsClientOptions& options);
Result<TlsContext> make_tls_server_context(const TlsServerOptions& options);

}  // namespace ballast::net
