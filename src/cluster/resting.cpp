#include "cluster/resting.hpp"

namespace ballast::cluster {

namespace {

using std::chrono::microseconds;

constexpr microseconds kKept = std::chrono::minutes(10);

Result<void> done(Result<store::Rows> rows) {
  if (!rows) return std::unexpected(std::move(rows.error()));
  return {};
}

}  // namespace

Result<void> put_resting(store::Tx& tx, std::span<const RestingNews> news) {
  const WallTime now = tx.now();
  for (const RestingNews& n : news) {
    auto put = done(tx.run("INSERT INTO resting (provider, model, what, slot, at_us, until_us) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (provider, model) DO UPDATE SET "
                           "what = excluded.what, slot = excluded.slot, at_us = excluded.at_us, until_us = excluded.until_us",
                           {n.provider, n.model, static_cast<int>(n.what), n.slot, unix_us(now - n.ago), unix_us(now + n.left)}));
    if (!put) return put;
  }
  return {};
}

Result<void> drop_resting(store::Tx& tx, std::string_view provider, std::string_view model) {
  return done(tx.run("DELETE FROM resting WHERE provider = $1 AND model = $2", {provider, model}));
}

Result<std::vector<RestingNews>> load_resting(store::Tx& tx, std::size_t limit) {
  const WallTime now = tx.now();
  auto rows = tx.run("SELECT provider, model, what, slot, at_us, until_us FROM resting WHERE at_us > $1 ORDER BY at_us DESC LIMIT $2", {unix_us(now - kKept), limit});
  if (!rows) return std::unexpected(std::move(rows.error()));
  std::vector<RestingNews> out;
  out.reserve(rows->size());
  for (const store::Row r : *rows)
    out.push_back({.provider = r.string(0), .model = r.string(1), .what = static_cast<RestingNews::What>(r.integer(2)), .slot = static_cast<unsigned>(r.integer(3)),
                   .ago = now - from_unix_us(r.integer(4)), .left = from_unix_us(r.integer(5)) - now, .when = from_unix_us(r.integer(4))});
  return out;
}

Result<void> sweep_resting(store::Tx& tx) { return done(tx.run("DELETE FROM resting WHERE at_us <= $1", {unix_us(tx.now() - kKept)})); }

}  // namespace ballast::cluster
