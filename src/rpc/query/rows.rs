//! The JSON of one page of a list, written within the task's coop budget.

use crate::budget;
use crate::rpc::protocol::response::to_json;

/// Writes `{"NAME":[rows],"next_cursor":…}`, and yields between the rows when the budget is spent. `row_to_json`
/// makes the row of an item.
pub async fn rows_to_json<T>(
    name: &str,
    items: &[T],
    next_cursor: Option<String>,
    row_to_json: impl Fn(&T) -> String,
) -> String {
    let mut json = format!("{{\"{name}\":[");
    for (index, item) in items.iter().enumerate() {
        let row = row_to_json(item);
        budget::charge_units(1);
        budget::charge_bytes(row.len());
        if index > 0 {
            json.push(',');
        }
        json.push_str(&row);
        budget::yield_if_spent().await;
    }
    json.push_str("],\"next_cursor\":");
    json.push_str(&to_json(&next_cursor));
    json.push('}');
    json
}
