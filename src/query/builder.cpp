#include "query/builder.hpp"

#include "query/sql.hpp"

namespace ballast::query {

json::array Statement::parameters_json() const {
  json::array out;
  for (const auto& p : parameters) out.push_back(p.as<json::value>());
  return out;
}

Result<Statement> build(const Intent& intent, const Dataset& dataset, const Principal& principal, store::Dialect dialect, WallTime now) {
  Writer writer(dataset, principal, dialect, now);
  auto sql = writer.select(intent, true);
  if (!sql) return std::unexpected(sql.error());
  Statement out{.sql = std::move(*sql), .parameters = writer.take_parameters(), .rows = dataset.limits.rows};
  for (const auto& o : intent.outputs) out.columns.push_back({o.name, o.value.type, o.value.mask});
  return out;
}

}  // namespace ballast::query
