#include "work/approval_links.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/random.hpp"

namespace ballast::work {

namespace {

constexpr std::string_view kDomain = "ballast approval link 1\n";
constexpr std::size_t kMaxToken = 2'048, kKeyBytes = 32, kMinKey = 32;

std::string_view view(const Digest& d) { return {reinterpret_cast<const char*>(d.data()), d.size()}; }

Error not_ours() { return {ErrorCode::caller_not_found, "this is no link of this server, or not a whole one", "token"}; }

std::optional<ApprovalLink> link_from(std::string_view payload) {
  const auto text = from_base64url(payload);
  const auto document = text ? parse_json(*text, {.max_bytes = kMaxToken, .max_depth = 2}) : Result<json::value>(nullptr);
  if (!document) return std::nullopt;
  const JsonRef at(*document);
  const auto id = at.get<std::string_view>("a"), digest = at.get<std::string_view>("d");
  const auto user = at.get<std::string>("u"), nonce = at.get<std::string>("n");
  const auto choices = at.get<std::int64_t>("c"), expires = at.get<std::int64_t>("e");
  if (!id || !digest || !user || !nonce || !choices || !expires) return std::nullopt;
  const auto approval = parse_approval_id(*id);
  const auto bytes = from_base64url(*digest);
  if (!approval || !bytes || bytes->size() != Digest{}.size()) return std::nullopt;
  ApprovalLink link{.id = *approval, .user = *user, .may_approve = (*choices & 1) != 0, .may_reject = (*choices & 2) != 0,
                    .expires = WallTime(std::chrono::seconds(*expires)), .nonce = *nonce};
  std::copy(bytes->begin(), bytes->end(), link.shown.begin());
  return link;
}

struct Descriptor {
  int fd;
  ~Descriptor() { if (fd >= 0) ::close(fd); }
};

std::unexpected<Error> refuse(const std::string& file, std::string_view why) {
  return fail(ErrorCode::internal_unavailable, fmt::format("the key of approval links, {}, {}", file, why), "data_dir");
}

Result<std::string> read_key(const std::string& file) {
  const Descriptor in{::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW)};
  if (in.fd < 0) return refuse(file, std::string("cannot be read: ") + std::strerror(errno));
  struct stat about{};
  if (::fstat(in.fd, &about) != 0 || !S_ISREG(about.st_mode)) return refuse(file, "is no file");
  if ((about.st_mode & 077) != 0) return refuse(file, "can be read by others; make it 0600, or remove it to have a new one made (links that are out end then)");
  std::string key(256, '\0');
  const auto n = ::read(in.fd, key.data(), key.size());
  if (n < static_cast<ssize_t>(kMinKey)) return refuse(file, "is too short to be one; remove it to have a new one made");
  key.resize(static_cast<std::size_t>(n));
  return key;
}

// Written aside and linked into place, so that a crash leaves no half of a key and of two makers one wins.
Result<void> make_key(const std::string& file) {
  const std::string aside = file + "." + secret_token(8);
  const std::string key = secret_token(kKeyBytes);
  {
    const Descriptor out{::open(aside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)};
    if (out.fd < 0) return refuse(file, std::string("cannot be made: ") + std::strerror(errno));
    if (::write(out.fd, key.data(), key.size()) != static_cast<ssize_t>(key.size()) || ::fsync(out.fd) != 0) {
      const std::string why = std::strerror(errno);
      ::unlink(aside.c_str());
      return refuse(file, "cannot be written: " + why);
    }
  }
  const bool placed = ::link(aside.c_str(), file.c_str()) == 0 || errno == EEXIST;
  const std::string why = std::strerror(errno);
  ::unlink(aside.c_str());
  if (!placed) return refuse(file, "cannot be made: " + why);
  return {};
}

}  // namespace

Digest ApprovalLinks::mac(std::string_view payload) const { return key_.sign(std::string(kDomain).append(payload)); }

std::string ApprovalLinks::sign(const ApprovalLink& link) const {
  const std::string payload = to_base64url(to_json(json::object{
      {"a", to_string(link.id)}, {"d", to_base64url(view(link.shown))}, {"u", link.user}, {"c", (link.may_approve ? 1 : 0) | (link.may_reject ? 2 : 0)},
      {"e", std::chrono::floor<std::chrono::seconds>(link.expires.time_since_epoch()).count()}, {"n", link.nonce}}));
  return payload + "." + to_base64url(view(mac(payload)));
}

Result<ApprovalLink> ApprovalLinks::read(std::string_view token, WallTime now) const {
  const auto dot = token.find('.');
  if (token.size() > kMaxToken || dot == std::string_view::npos) return fail(not_ours());
  const auto signature = from_base64url(token.substr(dot + 1));
  const Digest wanted = mac(token.substr(0, dot));
  if (!signature || !ct_equal(*signature, view(wanted))) return fail(not_ours());
  auto link = link_from(token.substr(0, dot));
  if (!link) return fail(not_ours());
  if (link->expires <= now) return fail(ErrorCode::caller_conflict, "this link has expired at " + to_rfc3339(link->expires), "token");
  return std::move(*link);
}

Decider link_decider(const ApprovalLink& link) { return {.key_id = {}, .key_name = {}, .user = link.user, .team = {}, .admin = false, .link = true}; }

Result<void> may_link(const Approval& approval, const Decider& maker, std::string_view user) {
  if (!may_look(approval, maker)) return fail(ErrorCode::caller_not_found, "there is no such approval for you", "id");
  if (user.empty() || user.size() > kMaxName) return fail(ErrorCode::caller_invalid_request, "must name the user that the link is for", "user");
  if (approval.ask.signature) return fail(ErrorCode::caller_forbidden, "this one wants a user's own key; there are no links to it", "id");
  if (!maker.admin && maker.user != user) return fail(ErrorCode::caller_forbidden, "only an administrator makes links for others", "user");
  Decider holder;
  holder.user = user;
  if (!is_assigned(approval, holder)) return fail(ErrorCode::caller_forbidden, fmt::format("user:{} is not among those who are asked", user), "user");
  // Whoever may not decide must not be able to by way of a link: neither the submitter's key nor its user.
  holder.key_id = maker.key_id;
  return may_decide(approval, holder);
}

Result<std::string> load_link_key(const std::string& file) {
  struct stat about{};
  if (::lstat(file.c_str(), &about) != 0) {
    if (errno != ENOENT) return refuse(file, std::string("cannot be read: ") + std::strerror(errno));
    if (auto made = make_key(file); !made) return std::unexpected(std::move(made.error()));
  }
  return read_key(file);
}

}  // namespace ballast::work
