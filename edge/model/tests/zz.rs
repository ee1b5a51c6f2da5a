use cloudach_model::template::*;
#[test] fn fuzz() {
  let mut corpus = Vec::new();
  for e in std::fs::read_dir("../../../shared/chat-templates").unwrap() { if let Ok(t)=std::fs::read_to_string(e.unwrap().path().join("template.jinja")) { corpus.push(t); } }
  let mut s: u64 = 12345; let mut r = move |n: usize| { s ^= s<<13; s ^= s>>7; s ^= s<<17; (s % n.max(1) as u64) as usize };
  let msgs: Vec<serde_json::Value> = serde_json::from_str(r#"[{"role":"system","content":"é"},{"role":"user","content":"hi"},{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{\"a\":1e-9}"}}]},{"role":"tool","content":"x","tool_call_id":"1"}]"#).unwrap();
  let start = std::time::Instant::now(); let (mut n, mut ok) = (0,0); let mut slow = 0;
  let bits = ["{{","}}","{%","%}","{#","#}","'","\"","\\","+","|e","|safe","(",")","[","]","set x = ","é","\\U0001F600","\\N","raw","endraw","{% generation %}","\n","\\\n","=","-","ns.x","{% set ns = namespace(x=1) %}","*","~","range(100)"," is "];
  while start.elapsed().as_secs() < 75 {
    let mut t: Vec<char> = corpus[r(corpus.len())].chars().collect();
    let cut = 300 + r(3000); let from = r(t.len()); t = t[from..(from+cut).min(t.len())].to_vec();
    for _ in 0..1+r(6) { let at = r(t.len()+1).min(t.len()); match r(3) { 0 => { let b = bits[r(bits.len())]; for (i,c) in b.chars().enumerate() { t.insert(at+i, c); } } 1 => { if at < t.len() { t.remove(at); } } _ => { let e=(at+r(20)).min(t.len()); t.drain(at..e); } } }
    let t: String = t.into_iter().collect();
    let x = std::time::Instant::now();
    if let Ok(c) = ChatTemplate::compile(&Source{template:&t,bos_token:Some("<s>"),eos_token:None}) { ok+=1; let _ = c.render(&Conversation{messages:msgs.clone(),add_generation_prompt:true,..Default::default()}, CivilTime::from_unix(0)); }
    if x.elapsed().as_millis() > 300 { slow += 1; println!("SLOW {:?} {}", x.elapsed(), t.len()); }
    n+=1;
  }
  println!("{n} inputs {ok} compiled {slow} slow");
}
